"""`dvc repro` in a copy, stage by stage as it goes."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from audits.history.lock import read_lock
from audits.verify.copy import CopyError, Plan, environment

__all__ = ["LOG", "repro"]

LOG = Path(".dvc/tmp/verify.log")
"""In the copy: all that DVC and the stages have said."""
RUNS = re.compile(r"Running stage '(.+)':")
LAST = 15
"""Lines of the log that an error shows."""


def repro(folder: Path, planned: Plan, say: Callable[[str], None]) -> None:
    """Compute what is planned and is not yet there; nothing is taken from DVC's run cache, and
    nothing put into its cache.

    Args:
        folder: of the copy.
        planned: what is computed; a stage beyond it is not started.
        say: takes a line of progress.

    Raises:
        CopyError: a stage fails, or one that was to be kept is not in DVC's cache or does not
            belong to the commit's code and settings.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--no-run-cache", "--no-commit"]
    # What a copy that goes on has computed already has an entry in its dvc.lock.
    known = read_lock((folder / "dvc.lock").read_text(encoding="utf-8"))
    begun = {name for name in planned.computed if name in known}
    began = time.monotonic()
    log = folder / LOG
    with log.open("a", encoding="utf-8") as kept:
        process = subprocess.Popen(
            [*command, planned.target],
            cwd=folder,
            env=environment(folder) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                kept.write(line)
                kept.flush()
                if started := RUNS.search(line):
                    _check(started[1], planned)
                    begun.add(started[1])
                    count = f"{len(begun)}/{len(planned.computed)}"
                    say(f"[{count}] {started[1]}  (after {time.monotonic() - began:.0f} s)")
        except BaseException:
            process.terminate()
            raise
        finally:
            code = process.wait()
            process.stdout.close()
    if code:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST:]
        raise CopyError("\n".join([f"dvc repro failed, {log} has all of it:", *said]))


def _check(stage: str, planned: Plan) -> None:
    if stage not in planned.computed:
        raise CopyError(
            f"{stage} would have to be computed, which --quick leaves as it is: it is not in DVC's "
            "cache (dvc pull), or dvc.lock was not made of this commit's code and settings "
            "(dvc repro, and commit dvc.lock). Without --quick it is computed"
        )
