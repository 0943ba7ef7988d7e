"""What a command prints, of which the reader may want the beginning only."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def show(text: str) -> None:
    """Print a text; what reads it may stop in the middle, as `head` does, and the rest is dropped.

    The command goes on, to the exit status that it would have had.
    """
    with readable_in_part():
        print(text)


@contextmanager
def readable_in_part() -> Iterator[None]:
    """Drop without a word what is printed after its reader has gone."""
    try:
        yield
    except BrokenPipeError:
        _drop()
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _drop()


def _drop() -> None:
    """Let nobody read what is printed from now on, nor what Python flushes when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
