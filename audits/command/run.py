"""`audit run`: an audit by `dvc repro`, and the comparison that it belongs to."""

import argparse
import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

from audits.command.lock import REMEDY, cut_off
from pipeline import layout
from pipeline.config import load_params

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit run scenes-tiny
"""
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, `kill`, and a terminal that is closed; Windows lacks some."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "run",
        description="Run what is stale of an audit, which is `dvc repro publish@NAME`, then put "
        "the audits of its dataset side by side, and print where the pages are. No other audit "
        "runs: the comparison takes what they have. `audit check` says beforehand what is "
        "missing, `audit plan` what the run costs. One that was stopped goes on where it was.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    parser.set_defaults(run=_run, command="run")


def _run(arguments: argparse.Namespace) -> str:
    dataset = load_params().audit(arguments.name).dataset
    report = layout.report(arguments.name) / "report.html"
    try:
        _repro(f"publish@{arguments.name}")
        # Each by itself, for they stand on every audit of the dataset, stale ones too.
        _repro("--single-item", f"compare@{dataset}", f"publish_comparison@{dataset}", made=report)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; `audit run {arguments.name}` goes on where it was"
        ) from None
    return f"report      {report}\ncomparison  {layout.comparison(dataset)}"


def _repro(*arguments: str, made: object = None) -> None:
    """`dvc repro` of some stages, on this terminal.

    Raises:
        ValueError: it failed; what failed, DVC has said by then.
        KeyboardInterrupt: as `_code`.
    """
    command = ["repro", *arguments]
    if code := _code([sys.executable, "-m", "dvc", *command]):
        there = f"; the report is {made}" if made else ""
        why = f": {REMEDY}" if cut_off() else ""
        raise ValueError(f"`dvc {' '.join(command)}` ended with exit code {code}{there}{why}")


def _code(command: list[str]) -> int:
    """Exit code of a command that stops when this process is to stop, and is waited for.

    It runs in a session of its own, so that whatever it has started can be reached, and signals
    are passed on to all of it. On Windows Ctrl-C reaches all of a console by itself.

    Raises:
        KeyboardInterrupt: this process was to stop, by any of STOPS; the command has ended by then.
    """
    asked: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        asked.append(number)
        # Of all signals, as DVC waits at this one for its stage, and at others leaves it alone.
        _tell(process, signal.SIGINT)

    def pause(*_: object) -> None:
        if sys.platform != "win32":
            _tell(process, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            # Whoever has this process go on, such as a shell's `fg`, means the command too.
            _tell(process, signal.SIGCONT)

    process = None
    handlers = {name: stop for name in STOPS} | {"SIGTSTP": pause}
    before = {}
    for name, handle in handlers.items():
        if number := getattr(signal, name, None):
            before[number] = signal.signal(number, handle)
    try:
        # What is handled here is at its default there, also where it came ignored, as Ctrl-C does
        # to what a script starts in the background.
        process = subprocess.Popen(command, start_new_session=True)
        for number, handler in before.items():
            if handler is signal.SIG_IGN:
                signal.signal(number, handler)
        if asked:
            _tell(process, signal.SIGINT)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        raise KeyboardInterrupt
    return code


def _tell(process: "subprocess.Popen[bytes] | None", number: int) -> None:
    """Send a signal to a process, once it is there, and to all that it has started."""
    if process is not None and sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
