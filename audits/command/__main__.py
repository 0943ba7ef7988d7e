"""The command `audit`: what is done to audits besides running them with `dvc repro`."""

import argparse
import sys
from importlib import import_module

COMMANDS = {
    "add": "switch on an audit: a model on a dataset",
    "check": "what an audit lacks: images, words, weights",
    "clean": "what is kept beside DVC, and its sizes; --delete deletes it",
    "concepts": "the components that answer to a text or an image most, and least",
    "diff": "what differs between two reports, and what could explain it",
    "gate": "fail where a report is worse than the last release's",
    "review": "verdicts on an audit's findings",
    "ui": "MLflow, with links to every report",
    "verify": "an audit made anew in a clean copy, and compared",
    "versions": "versions of an audit's dataset, and what changed",
}
"""Name of each command, which is that of its module, and what it does."""


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand; what a user can put right is one message and exit code 1."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="audit",
        description="Switch audits on, see what they lack, search their components, review their "
        "findings, compare their versions, stop a release by them, and clean up. Run it in the "
        "repository's root; `dvc repro publish@NAME` runs an audit.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, does in COMMANDS.items():
        # Only the module of the command that is given is imported: some take seconds.
        if given[:1] == [name]:
            import_module(f"audits.command.{name}").register(commands)
        else:
            commands.add_parser(name, help=does)
    chosen = parser.parse_args(given)
    try:
        print(chosen.run(chosen))
    except (OSError, ValueError) as error:
        sys.exit(f"audit {chosen.command}: {error}")


if __name__ == "__main__":
    main()
