"""The command `audit`: what is done to audits besides running them with `dvc repro`."""

import argparse
import sys
from collections.abc import Collection
from importlib import import_module
from typing import Any

from audits.output import readable_in_part, show

COMMANDS = {
    "add": "switch on an audit: a model on a dataset",
    "check": "what an audit lacks: images, words, weights",
    "clean": "what is kept beside DVC, and its sizes; --delete deletes it",
    "completion": "a script by which a shell completes this command",
    "concepts": "the components that answer to a text or an image most, and least",
    "diff": "what differs between two reports, and what could explain it",
    "export": "an audit's SAE, or its findings, for other tools",
    "gate": "fail where a report is worse than the last release's",
    "list": "audits, and what their last reports say",
    "plan": "what a run would cost: processor time, disk, memory",
    "review": "verdicts on an audit's findings",
    "run": "run an audit, and compare it with the others of its dataset",
    "status": "which stages of an audit are stale, and why",
    "ui": "MLflow, with links to every report",
    "verify": "an audit made anew in a clean copy, and compared",
    "versions": "versions of an audit's dataset, and what changed",
}
"""Name of each command, which is that of its module, and what it does."""
INTERRUPTED = 130


class _Commands(argparse._SubParsersAction):
    """Subcommands that are said to do what COMMANDS says."""

    def add_parser(self, name: str, **given: Any) -> Any:
        return super().add_parser(name, help=COMMANDS[name], **given)


def parser_with(loaded: Collection[str]) -> argparse.ArgumentParser:
    """The command's parser, with the arguments of some subcommands and the names of the others.

    Only the modules of these are imported: some take seconds.
    """
    parser = argparse.ArgumentParser(
        prog="audit",
        description="Switch audits on, see what they lack, what they cost and how they stand, run "
        "them, search their components, review their findings, compare their versions, stop a "
        "release by them, and clean up. Run it in the repository's root.",
    )
    commands = parser.add_subparsers(
        action=_Commands, title="commands", metavar="COMMAND", required=True
    )
    for name in COMMANDS:
        if name in loaded:
            import_module(f"audits.command.{name}").register(commands)
        else:
            commands.add_parser(name)
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand; what a user can put right is one message and exit code 1.

    Ctrl-C is one line, too, and exit code 130, as shells have it.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        parser = parser_with(given[:1])
        with readable_in_part():
            _run(parser.parse_args(given))
    except KeyboardInterrupt as stopped:
        print(str(stopped) or "stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _run(chosen: argparse.Namespace) -> None:
    try:
        show(chosen.run(chosen))
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        sys.exit(f"audit {chosen.command}: {error}")


if __name__ == "__main__":
    main()
