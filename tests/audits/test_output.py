"""What is printed into a pipe that is closed early."""

import os
import subprocess
import sys

import pytest

SHOWN = """
import sys
from audits.output import readable_in_part, show
with readable_in_part():
    for _ in range({lines}):
        show("a line of a table")
    print("and one more")
    sys.exit({status})
"""


def with_a_closed_pipe(*arguments: str, **environment: str) -> tuple[bytes, int]:
    """What a Python process says on stderr, and its status."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        return process.stderr.read(), process.wait()


@pytest.mark.parametrize("lines", [1, 20_000])
@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_stops_costs_neither_words_nor_the_status(
    lines: int, status: int, unbuffered: str
) -> None:
    code = SHOWN.format(lines=lines, status=status)
    assert with_a_closed_pipe("-c", code, PYTHONUNBUFFERED=unbuffered) == (b"", status)


def test_the_command_says_nothing_of_a_closed_pipe() -> None:
    assert with_a_closed_pipe("-m", "audits.command", "--help") == (b"", 0)
