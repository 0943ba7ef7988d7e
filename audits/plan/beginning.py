"""What a stage takes to begin. Imports nothing: what this process holds counts as its child's."""

import os
import subprocess
import sys
from typing import NamedTuple


class Spent(NamedTuple):
    """What something took."""

    seconds: float
    """Of processors."""
    memory: int
    """Most that the process held, in bytes."""


def begin(module: str) -> Spent:
    """A stage that does nothing but begin: Python, and what it imports."""
    process = subprocess.Popen([sys.executable, "-m", module, "--help"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # Kilobytes, but bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Spent(used.ru_utime + used.ru_stime, used.ru_maxrss * unit)
