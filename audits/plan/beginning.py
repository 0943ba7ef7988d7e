"""What a stage takes to begin. Imports little: what this process holds counts as its child's."""

import os
import subprocess
import sys
from typing import NamedTuple

UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which a system counts what a process held."""


class Spent(NamedTuple):
    """What something took."""

    seconds: float
    """Of processors."""
    memory: int
    """Most that the process held, in bytes."""


NO_MEASURE = (
    "a plan needs processor time and memory of processes, which this asks of Linux and macOS only: "
    "run it there, or in the Windows Subsystem for Linux"
)


def begin(module: str) -> Spent:
    """A stage that does nothing but begin: Python, and what it imports.

    Raises:
        OSError: the system does not say what a process took.
    """
    if sys.platform == "win32":
        raise OSError(NO_MEASURE)
    process = subprocess.Popen([sys.executable, "-m", module, "--help"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Spent(used.ru_utime + used.ru_stime, used.ru_maxrss * UNIT)


def held() -> int:
    """Most that this process has held, in bytes; errors are as of `begin`."""
    if sys.platform == "win32":
        raise OSError(NO_MEASURE)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
