"""Run a command and say what it took; imports nothing but Python's own.

Arguments are a file, the command's path and its arguments. The file becomes JSON: wall seconds,
those of processors, and the largest resident memory in kilobytes.
Linux counts the memory of the process that starts another one towards the peak of that one, and
this process is smaller than any that has imported PyTorch.
"""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Exit with the command's status."""
    path, *command = sys.argv[1:]
    before = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    seconds = time.perf_counter() - before
    took = (seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)
    Path(path).write_text(json.dumps(took), encoding="utf-8")
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
