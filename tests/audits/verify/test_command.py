"""`audit verify` from end to end, on a DAG of three stages that copy numbers."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from audits.command import verify
from audits.command.__main__ import main
from audits.verify import copy
from audits.verify.copy import CopyError
from tests.small_repository import ROOT, run

AUDIT = "scenes-tiny"
DAG = """\
stages:
  draw:
    cmd: cp drawn.json data/drawn.json
    deps: [drawn.json]
    outs: [data/drawn.json]
  label@scenes-tiny:
    cmd: cp data/drawn.json data/labels.json
    deps: [data/drawn.json]
    outs: [data/labels.json]
  report@scenes-tiny:
    cmd: python report.py
    deps: [data/labels.json, report.py, template]
    outs:
      - {FOLDER/findings.csv: {cache: false}}
      - {FOLDER/metrics.json: {cache: false}}
      - {FOLDER/provenance.json: {cache: false}}
""".replace("FOLDER", f"reports/{AUDIT}")
SCRIPT = f"""\
import json, pathlib, shutil
folder = pathlib.Path("reports/{AUDIT}")
shutil.copytree("template", folder, dirs_exist_ok=True)
metrics = json.loads((folder / "metrics.json").read_text())
metrics["sae"]["l0"] = json.loads(pathlib.Path("data/labels.json").read_text())["l0"]
(folder / "metrics.json").write_text(json.dumps(metrics))
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An audit that has run and is committed, with the report of this repository."""
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "template").mkdir()
    for name in ("findings.csv", "metrics.json", "provenance.json"):
        shutil.copy(ROOT / "reports" / AUDIT / name, folder / "template")
    # `foreach` makes names with an @, which dvc.yaml does not allow elsewhere.
    dag = yaml.safe_load(DAG)["stages"]
    for stage in ("label", "report"):
        dag[stage] = {"foreach": [AUDIT], "do": dag.pop(f"{stage}@{AUDIT}")}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": dag}))
    (folder / "report.py").write_text(SCRIPT)
    (folder / "drawn.json").write_text('{"l0": 15.5}')
    (folder / "data" / ".gitkeep").touch()
    monkeypatch.chdir(folder)
    run(folder, "git", "init", "-q")
    for key, value in (("user.name", "Ann"), ("user.email", "ann@example.org")):
        run(folder, "git", "config", key, value)
    run(folder, "dvc", "init", "-q")
    run(folder, "dvc", "repro", "-q")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-qm", "An audit")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
def test_a_copy_verifies_and_a_changed_number_is_traced_to_its_stage(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["verify", AUDIT, "--json", "--folder", str(tmp_path / "same")])
    said = json.loads(capsys.readouterr().out)
    assert (said["holds"], said["differs_first"]) == (True, None)
    assert [one["outcome"] for one in said["stages"]] == ["same"] * 3
    assert not (tmp_path / "same").exists()

    # What a stage gave is not what is committed as its output.
    (repository / "data/labels.json").unlink()
    (repository / "data/labels.json").write_text('{"l0": 15.75}')
    run(repository, "dvc", "commit", "-q", "-f", f"label@{AUDIT}")
    run(repository, "dvc", "repro", "-q", f"report@{AUDIT}")
    commit(repository)
    with pytest.raises(SystemExit, match="1"):
        main(["verify", AUDIT, "--json", "--folder", str(tmp_path / "changed")])
    said = json.loads(capsys.readouterr().out)
    assert (said["holds"], said["differs_first"]) == (False, f"label@{AUDIT}")
    assert [one["outcome"] for one in said["stages"]] == ["same", "differs", "differs"]
    assert [one["name"] for one in said["metrics"]] == ["sae.l0"]
    assert (tmp_path / "changed" / "dvc.yaml").exists()  # to be looked at


def test_only_a_copy_that_is_complete_is_said_to_be_kept(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*_: object) -> None:
        raise CopyError("stopped")

    def said(folder: Path, *options: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["verify", AUDIT, "--folder", str(folder), *options])
        return f"{capsys.readouterr().err}{ended.value}"

    monkeypatch.setattr(verify, "repro", stopped)
    mine, made = tmp_path / "mine", tmp_path / "made"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    assert "is not empty" in (refused := said(mine))
    assert "goes on in it" not in refused
    assert f"goes on in it: audit verify {AUDIT} --commit" in said(made)
    # What would be computed is noted in the copy, and this asks for another commit.
    (repository / "drawn.json").write_text('{"l0": 16.5}')
    commit(repository)
    assert "is a copy for another commit" in (refused := said(made))
    assert "goes on in it" not in refused


def test_what_lies_in_a_store_is_not_brought(repository: Path) -> None:
    (repository / "here.json").write_text("{}")
    run(repository, "git", "clone", "--quiet", ".", "copy")
    copy._bring(repository, repository / "copy", ["here.json", "s3://data/birds"])
    assert (repository / "copy/here.json").is_symlink()
    assert not list((repository / "copy").glob("s3*"))
