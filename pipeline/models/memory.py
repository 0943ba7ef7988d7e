"""Models on devices whose memory is short."""

from collections.abc import Callable
from typing import TypeVar

import torch

Found = TypeVar("Found")


class Fitting:
    """As many rows at a time as a device's memory holds: halved as often as needed, and then kept.

    >>> Fitting(2).parts(lambda rows: torch.arange(rows.start, rows.stop), 3)
    [tensor([0, 1]), tensor([2])]
    """

    def __init__(self, rows: int) -> None:
        """Args: rows: at a time, to begin with."""
        self.rows = rows

    def parts(self, work: Callable[[slice], Found], count: int) -> list[Found]:
        """What work gives for some rows after the other, `count` in all.

        Raises:
            RuntimeError: not even one row fits, or work fails for another reason.
        """
        found: list[Found] = []
        done = 0
        while done < count:
            some = slice(done, min(done + self.rows, count))
            size = some.stop - some.start
            try:
                found.append(work(some))
                done = some.stop
                continue
            except RuntimeError as error:
                if not out_of_memory(error) or size == 1:
                    raise
            # Not in the handler, where the error still holds what was computed.
            self.rows = size // 2
            torch.accelerator.empty_cache()
        return found


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a device's memory was too small."""
    # MPS raises no error of its own kind.
    return isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error)
