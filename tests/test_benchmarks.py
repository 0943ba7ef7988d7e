"""Benchmarks work in a folder that a person names: what else lies there stays."""

import importlib.util
import sys

import pytest

from benchmarks import failures, planted


def test_a_folder_with_files_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.setattr(sys, "argv", ["failures", "--work", str(tmp_path)])
    with pytest.raises(SystemExit):
        failures.main()
    assert "holds files: name an empty or a new folder" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_copy_of_the_workflow_is_put_beside_what_is_there(tmp_path):
    mine = tmp_path / "seed-3" / "pipeline" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    for _ in range(2):
        assert planted.prepared(tmp_path, 3, null=False) == tmp_path / "seed-3"
    assert (mine.parent / "layout.py").exists()
    assert mine.read_text() == "years of work"


def test_the_stages_that_are_run_are_there():
    for command in (*planted.COSTLY, *planted.STAGES, *failures.STAGES):
        assert importlib.util.find_spec(command.split()[0]) is not None, command
