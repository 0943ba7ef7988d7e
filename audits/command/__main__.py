"""The command `audit`: what is done to audits besides running them with `dvc repro`."""

import argparse
import sys

from audits.command import add, check, clean, review, versions


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand; what a user can put right is one message and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="audit",
        description="Switch audits on, see what they lack, review their findings, compare the "
        "versions of their datasets, and clean up. Run it in the repository's root; "
        "`dvc repro publish@NAME` runs an audit.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add.register(commands)
    check.register(commands)
    clean.register(commands)
    review.register(commands)
    versions.register(commands)
    chosen = parser.parse_args(arguments)
    try:
        print(chosen.run(chosen))
    except (OSError, ValueError) as error:
        sys.exit(f"audit {chosen.command}: {error}")


if __name__ == "__main__":
    main()
