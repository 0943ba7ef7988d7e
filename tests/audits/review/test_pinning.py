"""Pinning of components: ids outlive the SAE, and what is large goes to DVC."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audits.command.__main__ import main
from audits.review import pinning
from audits.review.component_files import PRESENT, read_next_id, read_pinned
from audits.review.desk import Desk
from audits.review.verdict_files import read_pins
from pipeline import layout
from tests.audits.review.invented import AUDIT, FIRST, M, atoms, pictures, write_stage

FOLDER = Path("reviews") / AUDIT
ORDER = np.array([2, 0, 3, 1, 8, 9, 10, 11, 4, 5, 6, 7])


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def pin() -> None:
    main(["review", AUDIT, "--pin"])


def test_pinned_trained_anew_and_pinned_again(reviewable, monkeypatch, capsys):
    pin()
    # Nothing was trained: all ids stay, and pinning again changes no byte.
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert sorted(before) == ["components.parquet", "findings.parquet"]
    assert write_stage(AUDIT, FIRST).findings["component_id"].tolist() == [3, 7, 4]
    pin()
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == before

    sae = atoms()[ORDER] + 0.05 * atoms(seed=1)
    sae[[0, 5]] = -sae[[0, 5]]  # components 2 and 9 are gone, two others are there
    anew = [
        {"class": "bat", "components": [6, 2], "images": pictures(0, 55), "mode": "polysemy"},
        {"class": "bat", "components": [5], "images": pictures(200, 230), "mode": "unclear"},
    ]
    second = write_stage(AUDIT, anew, sae)
    assert second.findings["finding_id"].tolist() == ["bat-3", "bat-13"]
    assert second.findings["component"].tolist() == [6, 5]
    assert second.findings["component_id"].tolist() == [10, 13]
    assert second.evidence["bat-3"]["component_ids"] == [10, 3]
    monkeypatch.setattr("sys.stdin", io.StringIO("q\n"))
    main(["review", AUDIT, "--reviewer", "Ann"])
    assert "component  10 (index 6 of this SAE) “tarmac”, with 3\n" in capsys.readouterr().out
    pin()
    pinned = read_pinned(FOLDER)
    assert pinned is not None
    assert pinned.ids.tolist() == [12, 0, 3, 1, 8, 13, 10, 11, 4, 5, 6, 7]

    third = write_stage(AUDIT, [anew[1] | {"components": [2], "class": "cat"}], atoms())
    # What was component 2 at first was gone in between: now it is a new one.
    assert third.findings["finding_id"].tolist() == ["cat-14"]


def test_components_are_pinned_once_a_session(reviewable, monkeypatch):
    pinned = []
    monkeypatch.setattr("audits.review.desk.pin_components", pinned.append)
    desk = Desk.open(AUDIT)
    desk.decide([])
    desk.decide([])
    assert pinned == [AUDIT]


def test_what_is_large_is_kept_by_dvc_and_stays_there(reviewable, monkeypatch, capsys):
    dvc("init", "--no-scm")
    monkeypatch.setattr(pinning, "GIT_BYTES", 400)
    pin()
    pointer = FOLDER / "components.parquet.dvc"
    assert f"`dvc push {pointer}`" in capsys.readouterr().out
    first = pointer.read_bytes()
    monkeypatch.setattr(pinning, "GIT_BYTES", 10**6)
    write_stage(AUDIT, FIRST, atoms(seed=2))
    pin()
    assert pointer.read_bytes() != first
    assert read_next_id(FOLDER / "components.parquet") > M
    # As in a fresh clone.
    (FOLDER / "components.parquet").unlink()
    with pytest.raises(SystemExit, match=rf"dvc pull {pointer}"):
        pin()
    with pytest.raises(SystemExit, match=r"dvc pull"):
        main(["review", AUDIT, "--reviewer", "Ann"])


def test_where_dvc_fails_what_it_says_is_passed_on(reviewable, monkeypatch):
    monkeypatch.setattr(pinning, "GIT_BYTES", 400)
    with pytest.raises(SystemExit, match=r"not inside of a DVC repo(?s:.*)audit review .* --pin`"):
        pin()
    assert len(read_pins(FOLDER / "findings.parquet")) == 3


def test_pinning_waits_for_the_stage(reviewable):
    old = layout.audit(AUDIT, "review") / PRESENT
    shutil.copy(old, reviewable / PRESENT)
    pin()
    write_stage(AUDIT, FIRST, atoms(seed=2))
    pin()
    shutil.copy(reviewable / PRESENT, old)
    before = (FOLDER / "components.parquet").read_bytes()
    with pytest.raises(SystemExit, match=rf"knew of {M}: run `dvc repro review@{AUDIT}`"):
        pin()
    assert (FOLDER / "components.parquet").read_bytes() == before
    old.unlink()
    with pytest.raises(SystemExit, match=rf"{PRESENT} does not exist: run `dvc repro`"):
        pin()
