"""What CI holds beside the tests: that what is committed is what its code makes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

METRICS = "reports/birds/metrics.json"
UNCHANGED = Path(__file__).parents[1] / ".ci" / "unchanged"


def lock(code: str = "1", made: str = "2", package: str = "4") -> str:
    deps = [{"path": "code.py", "md5": code}, {"path": "data/x", "md5": made}]
    deps += [{"path": "package", "md5": package}, {"path": METRICS, "md5": made}]
    report = {"cmd": "python", "outs": [{"path": METRICS, "md5": made}]}
    return yaml.safe_dump({"stages": {"embed": {"cmd": "python", "deps": deps}, "report": report}})


def provenance(processor: str, python: str = "3.11.7") -> str:
    return json.dumps({"processor": processor, "python": python})


@pytest.fixture
def checkout(tmp_path):
    """A repository with code, a lock, a report and an ignored folder."""
    (tmp_path / "reports" / "birds").mkdir(parents=True)
    (tmp_path / "code.py").touch()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").touch()
    (tmp_path / "dvc.lock").write_text(lock())
    (tmp_path / "reports" / "birds" / "metrics.json").write_text("{}")
    (tmp_path / "reports" / "birds" / "provenance.json").write_text(provenance("zen"))
    (tmp_path / ".gitignore").write_text("/data/")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def unchanged(folder):
    command = [sys.executable, UNCHANGED]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_run_that_leaves_the_work_tree_as_it_was_passes(checkout):
    (checkout / "data").mkdir()
    (checkout / "data" / "part-00000.parquet").touch()
    (checkout / "dvc.lock").write_text(lock())
    done = unchanged(checkout)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["dvc.lock", "reports/birds/metrics.json", "reports/new.csv"])
def test_a_run_that_changes_or_makes_a_file_fails_and_names_it(checkout, name):
    (checkout / name).write_text(lock(made="3"))
    done = unchanged(checkout)
    assert done.returncode == 1
    assert name in done.stdout
    assert "commit dvc.lock and reports/" in done.stderr


@pytest.mark.parametrize("other", [provenance("haswell"), provenance("zen", "3.12.1")])
@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({"dvc.lock": lock(made="3")}, None),
        ({"dvc.lock": lock(code="3")}, "embed"),
        ({"dvc.lock": lock(package="5")}, "embed"),
        ({"reports/birds/metrics.json": "[]"}, None),
        ({"reports/new.csv": "a"}, "new.csv"),
    ],
)
def test_made_otherwise_code_and_settings_have_to_be_the_commits(checkout, changes, fails, other):
    (checkout / "reports" / "birds" / "provenance.json").write_text(other)
    for name, text in changes.items():
        (checkout / name).write_text(text)
    done = unchanged(checkout)
    assert done.returncode == (fails is not None), done.stderr
    assert (fails or "") in done.stderr


def test_outside_a_checkout_it_fails(tmp_path):
    assert unchanged(tmp_path).returncode != 0
