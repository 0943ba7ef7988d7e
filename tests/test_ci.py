"""What CI holds beside the tests: that what is committed is what its code makes."""

import subprocess
from pathlib import Path

import pytest

UNCHANGED = Path(__file__).parents[1] / ".ci" / "unchanged"


@pytest.fixture
def checkout(tmp_path):
    """A repository with a lock, a report and an ignored folder."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "dvc.lock").write_text("hash: 1")
    (tmp_path / "reports" / "metrics.json").write_text("{}")
    (tmp_path / ".gitignore").write_text("/data/")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def unchanged(folder):
    return subprocess.run([UNCHANGED], cwd=folder, capture_output=True, text=True, check=False)


def test_a_run_that_leaves_the_work_tree_as_it_was_passes(checkout):
    (checkout / "data").mkdir()
    (checkout / "data" / "part-00000.parquet").touch()
    (checkout / "dvc.lock").write_text("hash: 1")
    done = unchanged(checkout)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["dvc.lock", "reports/metrics.json", "reports/new.csv"])
def test_a_run_that_changes_or_makes_a_file_fails_and_names_it(checkout, name):
    (checkout / name).write_text("other")
    done = unchanged(checkout)
    assert done.returncode == 1
    assert name in done.stdout
    assert "Run `make audit`" in done.stdout
    assert "commit dvc.lock and reports/" in done.stdout


def test_outside_a_checkout_it_fails(tmp_path):
    assert unchanged(tmp_path).returncode != 0
