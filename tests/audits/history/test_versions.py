"""`audit versions`: what changed between manifests, and which versions a history holds."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from audits.command.__main__ import main
from audits.history.changes import compare
from audits.history.versions import DatasetVersion, HistoryError, find, folder_hash

ROOT = Path(__file__).parents[3]


def manifest(*rows: str) -> pd.DataFrame:
    """Rows "image_id split label bytes"; the label - is none."""
    table = pd.DataFrame([row.split() for row in rows], columns=["image_id", "split", "label", "s"])
    table["label"] = table["label"].where(table["label"] != "-", None)
    return table.rename(columns={"s": "sha256"})


def rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(table.itertuples(index=False, name=None))


def test_each_kind_of_change_is_told_apart():
    old = manifest(
        "a train cat 1", "b train cat 2", "c val dog 3", "d train dog 4", "e train dog 5"
    )
    new = manifest(
        "a train cat 1", "b train dog 2", "c train dog 3", "e2 train dog 5", "f val ox 6"
    )
    change = compare(old, new)
    assert rows(change.added) == [("f", "val", "ox")]
    assert rows(change.removed) == [("d", "train", "dog")]
    assert rows(change.relabelled) == [("b", "cat", "dog")]
    assert rows(change.moved) == [("c", "val", "train")]


def test_the_way_back_is_the_mirror_image():
    old = manifest("a train cat 1", "b train cat 2", "c val dog 3")
    new = manifest("a val dog 1", "d train cat 4", "c val dog 3")
    there, back = compare(old, new), compare(new, old)
    assert rows(there.added) == rows(back.removed) == [("d", "train", "cat")]
    assert rows(there.removed) == rows(back.added) == [("b", "train", "cat")]
    assert rows(there.relabelled) == [("a", "cat", "dog")]
    assert rows(back.relabelled) == [("a", "dog", "cat")]
    assert rows(there.moved) == [("a", "train", "val")]


@pytest.mark.parametrize(
    "new",
    [
        manifest("b train cat 1", "a train cat 1", "c val dog 3"),  # names swapped
        manifest("c val dog 3", "b train cat 1", "a train cat 1"),  # another order
        manifest("x train cat 1", "y train cat 1", "z val dog 3"),  # renamed
    ],
)
def test_names_and_order_are_no_change(new):
    old = manifest("a train cat 1", "b train cat 1", "c val dog 3")
    assert [len(rows) for rows in compare(old, new)] == [0, 0, 0, 0]


def test_equal_bytes_count_as_often_as_they_are_there():
    old = manifest("a train cat 1", "b train cat 1", "c train cat 1")
    change = compare(old, manifest("b train cat 1", "d train cat 2"))
    assert rows(change.removed) == [("a", "train", "cat"), ("c", "train", "cat")]
    assert rows(change.added) == [("d", "train", "cat")]


def test_equal_bytes_under_two_labels_are_matched_label_first():
    old = manifest("a train cat 1", "b train dog 1")
    change = compare(old, manifest("a train dog 1", "b train dog 1", "c train cat 1"))
    assert rows(change.added) == [("a", "train", "dog")]
    assert [len(rows) for rows in change] == [1, 0, 0, 0]


def test_images_without_a_label_are_compared_too():
    old = manifest("a test - 1", "b test - 2", "c test cat 3")
    new = manifest("a test - 1", "b test cat 2", "c test - 3")
    change = compare(old, new)
    assert [row[0] for row in rows(change.relabelled)] == ["b", "c"]
    assert [len(rows) for rows in change] == [0, 0, 2, 0]


def test_an_empty_side():
    full, empty = manifest("a train cat 1", "b val cat 2"), manifest()
    assert [len(rows) for rows in compare(empty, full)] == [2, 0, 0, 0]
    assert [len(rows) for rows in compare(full, empty)] == [0, 2, 0, 0]


MAKE = """\
import hashlib, json, pathlib, pyarrow, pyarrow.parquet
rows = [line.split() for line in open("rows.txt")]
columns = dict(zip(["image_id", "split", "label", "sha256"], map(list, zip(*rows))))
out = pathlib.Path("data/manifests/scenes")
out.mkdir(parents=True, exist_ok=True)
pyarrow.parquet.write_table(pyarrow.table(columns), out / "manifest.parquet")
fingerprint = hashlib.sha256(open("rows.txt", "rb").read()).hexdigest()
(out / "dataset.json").write_text(json.dumps({"fingerprint": fingerprint}))
"""
STAGES = """\
stages:
  prepare:
    foreach: [scenes]
    do:
      cmd: python make.py
      deps: [rows.txt]
      outs: ["data/manifests/${item}"]
"""
FIRST = "a train cat 1\nb train dog 2\nc val dog 3\n"
SECOND = "a train cat 1\nb train cat 2\nc val dog 3\nd val cat 4\n"
THIRD = "a train cat 1\nb train cat 2\n"


def version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def commit(folder: Path, message: str) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    run(folder, "git", "add", "-A")
    assert run(folder, "git", *who, "commit", "-qm", message).returncode == 0


def table(said: str) -> list[list[str]]:
    """Rows of the table of versions, without dates."""
    lines = said.split("\n\n")[0].splitlines()[1:]
    return [[cell for cell in line.split() if cell.count("-") != 2] for line in lines]


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """Two committed versions of a dataset and a third in the workspace."""
    folder = tmp_path_factory.mktemp("history")
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "make.py").write_text(MAKE)
    (folder / "dvc.yaml").write_text(STAGES)
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    for number, rows in enumerate((FIRST, SECOND)):
        (folder / "rows.txt").write_text(rows)
        done = run(folder, "dvc", "repro", "-q")
        assert done.returncode == 0, done.stderr
        if number == 1:
            report = folder / "reports" / "scenes-tiny"
            report.mkdir(parents=True)
            whole = hashlib.sha256(SECOND.encode()).hexdigest()
            (report / "provenance.json").write_text(f'{{"dataset": {{"fingerprint": "{whole}"}}}}')
        commit(folder, f"version {number}")
    # DVC has linked neither file to its cache, so both may be written over.
    (folder / "rows.txt").write_text(THIRD)
    assert run(folder, sys.executable, "make.py").returncode == 0
    return folder


def versions(folder: Path, *arguments: str) -> str:
    done = run(
        folder, sys.executable, "-m", "audits.command", "versions", "scenes-tiny", *arguments
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_systems_leave_in_a_manifest_s_folder_makes_no_version(tmp_path):
    (tmp_path / "manifest.parquet").write_text("rows")
    found = folder_hash(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "._manifest.parquet"):
        (tmp_path / name).touch()
    assert folder_hash(tmp_path) == found


@pytest.mark.slow
def test_dvcs_hash_of_a_folder_is_reproduced(repository):
    folder = repository / "data" / "manifests" / "scenes"
    run(repository, "dvc", "commit", "-q", "--force")
    try:
        assert folder_hash(folder) in (repository / "dvc.lock").read_text()
    finally:
        run(repository, "git", "checkout", "-q", "dvc.lock")


@pytest.mark.slow
def test_every_version_is_shown_against_the_one_before(repository):
    said = table(versions(repository))
    shown = [[row[0], row[2], *row[3:]] for row in said]
    second, first = run(repository, "git", "log", "--format=%h", "--abbrev=8").stdout.split()
    assert shown == [
        [version(THIRD), "workspace", "2", "1", "0", "2", "0", "0", "-"],
        [version(SECOND), second, "4", "2", "1", "0", "1", "0", "yes"],
        [version(FIRST), first, "3", "2", "-", "-", "-", "-", "-"],
    ]


@pytest.mark.slow
def test_two_versions_are_compared_by_fingerprint_or_revision(repository):
    said = versions(repository, version(FIRST), "workspace", "--list")
    assert "0 added, 1 removed, 1 relabelled, 0 moved" in said
    assert "removed     c: dog" in said
    assert "relabelled  b: dog -> cat" in said
    assert "1 added, 0 removed, 1 relabelled" in versions(repository, "HEAD~1", "HEAD")
    hashes = [row[1] for row in table(versions(repository))]
    assert "0 added, 2 removed, 0 relabelled" in versions(repository, hashes[1], hashes[0])


def test_a_beginning_of_several_versions_is_refused():
    old = DatasetVersion("c" * 40, "2024-05-06", "1234aaaa.dir", "ffff0000", None)
    new = DatasetVersion("d" * 40, "2024-05-07", "5678bbbb.dir", "ffff0000", None)
    with pytest.raises(
        HistoryError, match=r"several.*5678bbbb.*1234aaaa|several.*1234aaaa.*5678bbbb"
    ):
        find("ffff", [new, old], "birds")


@pytest.mark.slow
def test_a_version_that_is_nowhere_is_listed_with_the_remedy(repository, tmp_path):
    """The workspace's manifest too, once its folder is gone."""
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy, symlinks=True)
    shutil.rmtree(copy / ".dvc" / "cache")
    said = versions(copy)
    assert [row[3] for row in table(said)] == ["2", "?", "?"]
    shutil.rmtree(copy / "data" / "manifests")
    assert [row[3] for row in table(versions(copy))] == ["?", "?"]
    assert "dvc push --all-commits" in said
    done = run(
        copy, sys.executable, "-m", "audits.command", "versions", "scenes-tiny", "HEAD", "HEAD~1"
    )
    assert done.returncode == 1
    assert "dvc fetch --all-commits prepare@scenes" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "params.yaml has no audits.nope"),
        (["scenes-tiny", "HEAD"], "give two or none"),
        (["scenes-tiny", "HEAD", "abcd1234"], "neither a version"),
        (["lesions-tiny"], "run `dvc repro prepare@lesions`"),
    ],
)
def test_a_bad_request_is_one_message(repository, monkeypatch, arguments, said):
    monkeypatch.chdir(repository)
    with pytest.raises(SystemExit) as stopped:
        main(["versions", *arguments])
    assert said in str(stopped.value)
