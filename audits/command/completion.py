"""`audit completion`: a script by which a shell completes the command."""

import argparse
from pathlib import Path

import shtab

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit completion bash > ~/.local/share/bash-completion/completions/audit
  audit completion zsh > ~/.zfunc/_audit

A new shell takes it from there (zsh: where ~/.zfunc is in fpath before compinit). Commands,
options, files and, in the repository's root, names of audits are completed; write it anew after an
update.
"""
NAMES = "ls reviews 2>/dev/null | sed -n 's/[.]csv$//p'"
"""Every audit has a table of verdicts; to ask params.yaml would take a second for each key."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "completion",
        description="Print a script by which a shell completes `audit`, its options and files.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    parser.set_defaults(run=_run, command="completion")


def _run(arguments: argparse.Namespace) -> str:
    # Imported late: it is what imports this.
    from audits.command.__main__ import COMMANDS, parser_with

    parser = parser_with(COMMANDS)
    commands = next(one for one in parser._actions if isinstance(one.choices, dict))
    for name, command in dict(commands.choices or {}).items():
        for action in command._actions:
            if action.type is Path:
                setattr(action, "complete", shtab.FILE)  # noqa: B010
            elif action.dest == "name" and name != "add":
                setattr(action, "complete", shtab.cmd(NAMES))  # noqa: B010
    return shtab.complete(parser, arguments.shell)
