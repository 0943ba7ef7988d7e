"""Verdicts and pinned findings on disk: round trips, and what is wrong is said where it is."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audits.command.__main__ import main
from audits.review.identity import Pin
from audits.review.verdict_files import (
    ReviewError,
    Verdict,
    read_pins,
    read_verdicts,
    start,
    write_pins,
    write_verdicts,
)
from pipeline.artifacts.store import write_table

KNOWN = ["bat-3", "hot dog-41", "crane-7"]
HEADER = "finding_id,verdict,mode,note,reviewer,date\n"
GIVEN = {
    "hot dog-41": Verdict("hot dog-41", "reject", "", 'no, "never"\nsays Ann', "Ann", ""),
    "bat-3": Verdict("bat-3", "accept", "polysemy", "", "Ann", "2025-03-01"),
}


def test_verdicts_come_back(tmp_path):
    path = tmp_path / "reviews" / "a.csv"
    write_verdicts(path, GIVEN)
    assert read_verdicts(path, KNOWN) == GIVEN
    assert path.read_text(encoding="utf-8").startswith(f"{HEADER}bat-3,accept,polysemy,,Ann,2025")


def test_as_a_spreadsheet_saves_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b"\xef\xbb\xbfverdict,finding_id,date,note,mode,reviewer\r\n accept ,bat-3,,,,Bea\r\n"
    )
    assert read_verdicts(path, KNOWN) == {"bat-3": Verdict("bat-3", "accept", "", "", "Bea", "")}
    rows = HEADER + "bat-3,Accept,Polysemy,,Ann,\n"
    path.write_text(rows.replace(",", ";"), encoding="utf-16")
    expected = Verdict("bat-3", "accept", "polysemy", "", "Ann", "")
    assert read_verdicts(path, KNOWN) == {"bat-3": expected}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: no column finding_id, verdict, mode, note, reviewer, date; it has none"),
        ("finding_id,verdict,mode,note,date\n", "line 1: no column reviewer; it has finding_id"),
        ("class," + HEADER, "line 1: column 'class' is unknown"),
        ("mode," + HEADER, "line 1: column mode is there 2 times"),
        (
            HEADER + "bat-3,accept,,,,\nbat-4,accept,,,,\n",
            "line 3, column finding_id: 'bat-4' is not allowed; is it one of bat-3",
        ),
        (HEADER + "zzz,accept,,,,\n", "'zzz' is not allowed; allowed: the 3 ids of findings.csv"),
        (
            HEADER + "bat-3,maybe,,,,\n",
            "line 2, column verdict: 'maybe' is not allowed; allowed: accept, reject",
        ),
        (HEADER + "bat-3,,,,,\n", "column verdict: '' is not allowed"),
        (
            HEADER + "bat-3,accept,texture,,,\n",
            "line 2, column mode: 'texture' is not allowed; allowed: polysemy, compound, typogra",
        ),
        (
            HEADER + "bat-3,accept,,,,3/1/2025\n",
            "line 2, column date: '3/1/2025' is not allowed; allowed: a date such as 2025-01-31",
        ),
        (
            HEADER + "bat-3,accept,,,,\ncrane-7,reject,,,,\nbat-3,reject,,,,\n",
            "line 4, lists the finding_id 'bat-3' twice, first in line 2",
        ),
        (HEADER + "bat-3,accept,,one, two,Ann,\n", "line 2: has 7 cells, not 6"),
        (HEADER + "bat-3,accept\n", "line 2: has 2 cells, not 6"),
        (
            HEADER + 'bat-3,accept,,"never ends,Ann,\n',
            "line 2: not CSV: a double quote is not closed",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, said):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReviewError) as raised:
        read_verdicts(path, KNOWN)
    assert str(raised.value).startswith(f"{path}, ")
    assert said in str(raised.value)


def test_missing_files_and_other_files_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(ReviewError, match=r"a.csv does not exist.*finding_id,verdict,mode"):
        read_verdicts(path, KNOWN)
    path.write_bytes("Gehäuse".encode("latin-1"))
    with pytest.raises(ReviewError, match=r"line 1: byte 0xe4 .* not UTF-8: save it"):
        read_verdicts(path, KNOWN)
    with pytest.raises(ReviewError, match=r"b.parquet does not exist: get it back"):
        read_pins(tmp_path / "b.parquet")
    with pytest.raises(ReviewError, match="not Parquet"):
        read_pins(path)


def test_pins_of_another_layout_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(path, pd.DataFrame({"finding_id": ["bat-3"]}))
    with pytest.raises(ReviewError, match=r"a.parquet has columns .*finding_id.*not .*'atom'"):
        read_pins(path)


def test_pins_come_back_in_half_precision_and_the_same_bytes(tmp_path):
    atom = np.array([0.1, -0.5, 0.25])
    pins = [
        Pin("crane-7", "crane", 7, atom, ("train/b", "train/a"), "compound"),
        Pin("bat-3", "bat", 3, atom[:2], (), "unclear"),
    ]
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_pins(first, pins)
    write_pins(second, pins[::-1])
    assert first.read_bytes() == second.read_bytes()
    bat, crane = read_pins(first)
    assert (bat.finding_id, bat.images, crane.images) == ("bat-3", (), ("train/b", "train/a"))
    assert crane.atom.dtype == np.float16
    assert crane.atom == pytest.approx(atom, abs=1e-3)
    assert (crane.label, crane.component, crane.mode) == ("crane", 7, "compound")


def test_audit_add_writes_both(tmp_path, monkeypatch, capsys):
    for name in ("params.yaml", "catalog.yaml"):
        shutil.copy(Path(__file__).parents[3] / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    request = ["add", "new", "--dataset", "scenes", "--model", "vit-b-32-laion2b"]
    main([*request, "--dry-run"])
    assert not (tmp_path / "reviews").exists()
    main(request)
    assert read_verdicts(tmp_path / "reviews/new.csv", KNOWN) == {}
    assert read_pins(tmp_path / "reviews/new/findings.parquet") == []
    assert "reviews/new.csv" in capsys.readouterr().out


def test_a_new_audit_starts_with_empty_files_and_keeps_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start("new")
    assert (tmp_path / "reviews/new.csv").read_text(encoding="utf-8") == HEADER
    assert read_pins(tmp_path / "reviews/new/findings.parquet") == []
    write_verdicts(tmp_path / "reviews/new.csv", GIVEN)
    start("new")
    assert read_verdicts(tmp_path / "reviews/new.csv", KNOWN) == GIVEN
