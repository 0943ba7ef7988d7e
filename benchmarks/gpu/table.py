"""What was found on a GPU, a row each."""

import sys
from collections.abc import Callable


class Table:
    """What was found, a row each, and whether anything failed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.failed = False

    def add(self, what: str, found: str, beside: str = "", verdict: str = "") -> None:
        """One row."""
        self.rows.append({"what": what, "found": found, "beside": beside, "": verdict})
        print(f"  {what}: {found} {beside} {verdict}", file=sys.stderr, flush=True)

    def held(self, what: str, distance: Callable[[], float], most: float) -> None:
        """A row that says whether a distance to the CPU's result is at most `most`."""
        self.attempt(what, lambda: self._judge(what, distance(), most))

    def attempt(self, what: str, work: Callable[[], None]) -> None:
        """Run it; an error is a row and a failure."""
        try:
            work()
        except Exception as error:  # every further row is still wanted
            self.failed = True
            self.add(what, f"{type(error).__name__}: {error}"[:150], verdict="FAILED")

    def _judge(self, what: str, distance: float, most: float) -> None:
        good = distance <= most  # never where it is NaN
        self.failed |= not good
        self.add(what, f"{distance:.2g}", f"at most {most:g}", "same" if good else "DIFFERS")
