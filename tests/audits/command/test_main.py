"""The command `audit` itself."""

import subprocess
import sys

import pytest

from audits.command import list as listed
from audits.command.__main__ import COMMANDS, main

HEAVY = {"numpy", "pandas", "torch", "mlflow", "dvc", "pydantic"}


def test_help_imports_nothing_that_takes_seconds():
    program = (
        "import sys; from audits.command.__main__ import main\n"
        "try: main(['--help'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    *_, modules = done.stdout.splitlines()
    assert not HEAVY & set(modules.split())
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_in_its_help(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"examples:\n  audit {name}" in capsys.readouterr().out


def test_ctrl_c_is_a_word_and_not_a_traceback(monkeypatch, capsys):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(listed, "_run", stopped)
    with pytest.raises(SystemExit, match="130"):
        main(["list"])
    assert capsys.readouterr().err == "stopped\n"
