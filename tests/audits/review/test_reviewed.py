"""Stage `review`: ids, verdicts and modes are joined, and what changed is to be reviewed again."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch

from audits.review import __main__ as stage
from audits.review import reviewed
from audits.review.component_files import (
    PINNED,
    PRESENT,
    Components,
    read_components,
    write_components,
)
from audits.review.identity import Carried, Pin
from audits.review.reviewed import (
    GONE_COLUMNS,
    RECURRENCE,
    by_component_id,
    found_now,
    reasons_to_review_again,
    with_recurrence,
)
from audits.review.verdict_files import (
    PINNED_FINDINGS,
    ReviewError,
    Verdict,
    read_pins,
    write_pins,
    write_verdicts,
)
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table, write_json, write_table
from tests.audits.review.invented import FIRST, IMAGES, atoms, joined, pictures, table


def verdict(finding_id: str, given: str = "accept", mode: str = "") -> Verdict:
    return Verdict(finding_id, given, mode, "seen", "Ann", "2025-03-01")


def test_what_a_finding_is_known_by(monkeypatch):
    monkeypatch.setattr(reviewed, "PINNED_IMAGES", 50)
    bat, _, _ = found_now(*table(FIRST), atoms())
    assert bat.pin.images[:4] == ("train/059", "train/058", "train/057", "train/000")
    assert len(bat.pin.images) == 50
    assert len(bat.images) == 60
    assert bat.atoms.shape == (2, 9)
    assert np.array_equal(bat.pin.atom, atoms()[3].astype(np.float16))
    assert bat.pin.mode == "polysemy"


def test_findings_are_named_by_the_ids_of_components():
    ids = np.array([0, 1, 2, 31, 4, 50, 6, 7, 8, 9, 10, 11], dtype=np.int32)
    findings, evidence = by_component_id(*table(FIRST), ids)
    assert findings["finding_id"].tolist() == list(evidence) == ["bat-31", "bat-7", "cat-4"]
    assert list(findings)[2:4] == ["component", "component_id"]
    assert findings["component"].tolist() == [3, 7, 4]
    assert findings["component_id"].tolist() == [31, 7, 4]
    assert evidence["bat-31"]["components"] == [3, 5]
    assert evidence["bat-31"]["component_ids"] == [31, 50]


def test_nobody_has_reviewed():
    result = joined(FIRST, [], {})
    findings = result.findings
    assert findings["finding_id"].tolist() == ["bat-3", "bat-7", "cat-4"]
    assert findings["status"].tolist() == ["new"] * 3
    assert findings["mode_source"].tolist() == ["suggested"] * 3
    assert findings["verdict"].isna().all()
    assert not findings["review_again"].any()
    assert findings["max_z"].tolist() == [12.25] * 3
    assert result.metrics == {
        "confirmed": 3,
        "accepted": 0,
        "rejected": 0,
        "new": 3,
        "persisting": 0,
        "gone": 0,
        "review_again": 0,
    }


def test_verdicts_count_and_a_mode_that_was_chosen_replaces_the_suggestion():
    given = {"bat-3": verdict("bat-3", mode="compound"), "cat-4": verdict("cat-4", "reject")}
    result = joined(FIRST, joined(FIRST, [], {}).present, given)
    assert result.findings["mode"].tolist() == ["compound", "unclear", "spurious"]
    assert result.findings["mode_source"].tolist() == ["person", "suggested", "suggested"]
    assert result.findings["verdict"].tolist()[0::2] == ["accept", "reject"]
    assert result.findings["status"].tolist() == ["persists"] * 3
    assert result.evidence["bat-3"]["suggested_mode"] == "polysemy"
    assert result.evidence["bat-3"]["review"]["reviewer"] == "Ann"
    assert result.evidence["bat-7"]["review"] is None
    assert result.metrics["accepted"] == result.metrics["rejected"] == 1
    assert result.metrics["carried_over"] == 1
    assert len(result.gone) == 0


def test_ids_and_verdicts_survive_an_sae_trained_anew():
    order = np.array([2, 0, 3, 1, 8, 9, 10, 11, 4, 5, 6, 7])
    sae = atoms()[order] + 0.05 * atoms(seed=1)
    anew = [
        # Component 3 is number 2 now and does not lead its group; images of bat-3 are as before.
        {"class": "bat", "components": [6, 2], "images": pictures(0, 55), "mode": "polysemy"},
        # Nothing like bat-7, but called like bat-3.
        {"class": "bat", "components": [3], "images": pictures(200, 230), "mode": "unclear"},
    ]
    given = {"bat-3": verdict("bat-3"), "cat-4": verdict("cat-4", "reject", "compound")}
    result = joined(anew, joined(FIRST, [], {}).present, given, sae)
    assert result.findings["finding_id"].tolist() == ["bat-3", "bat-3-2"]
    assert result.findings["component"].tolist() == [6, 3]
    assert result.findings["status"].tolist() == ["persists", "new"]
    assert result.findings["verdict"].tolist()[0] == "accept"
    assert result.evidence["bat-3"]["components"] == [6, 2]
    assert result.evidence["bat-3"]["carried"]["by"] == "atom"
    assert result.evidence["bat-3-2"]["carried"] is None
    assert result.gone.to_numpy().tolist() == [
        ["bat-7", "bat", "", "", ""],
        ["cat-4", "cat", "reject", "compound", "seen"],
    ]
    assert result.metrics["gone"] == 2
    assert result.metrics["carried_over"] == pytest.approx(1 / 3)
    assert [pin.finding_id for pin in result.present] == ["bat-3", "bat-3-2"]


@dataclass
class Case:
    carried: Carried
    given: Verdict
    mode: str
    said: str


PIN = Pin("bat-3", "bat", 3, np.ones(4, dtype=np.float16), (), "polysemy")
HELD = Carried("bat-3", "atom", 0.9, 0.5)


@pytest.mark.parametrize(
    "case",
    [
        Case(HELD._replace(by="images", cosine=0.3), verdict("bat-3"), "polysemy", "cosine is 0.3"),
        Case(HELD._replace(shared=0.49), verdict("bat-3", "reject"), "polysemy", "shares 49%"),
        Case(HELD, verdict("bat-3"), "compound", "was polysemy, is compound now"),
    ],
)
def test_a_verdict_is_to_be_given_again(case):
    (reason,) = reasons_to_review_again(PIN, case.given, case.carried, case.mode, IMAGES)
    assert case.said in reason


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        (verdict("bat-3"), "polysemy"),
        (verdict("bat-3", mode="spurious"), "compound"),
        (verdict("bat-3", "reject"), "compound"),
    ],
)
def test_a_verdict_holds(given, mode):
    assert reasons_to_review_again(PIN, given, HELD, mode, IMAGES) == []


def test_only_a_finding_with_a_verdict_is_to_be_reviewed_again():
    pins = [pin._replace(images=("train/other",)) for pin in joined(FIRST, [], {}).present]
    result = joined(FIRST, pins, {"bat-7": verdict("bat-7")})
    assert result.findings["review_again"].tolist() == [False, True, False]
    assert result.metrics["review_again"] == 1
    assert "0%" in result.evidence["bat-7"]["review_again"][0]


def test_no_findings_at_all():
    result = joined([], joined(FIRST, [], {}).present, {})
    assert len(result.findings) == 0
    assert len(result.gone) == 3
    assert result.metrics["carried_over"] == 0


def test_confirmed_is_what_held_and_was_found_again_if_anything_looked_for_it():
    cases = [  # held, further dictionaries, of them found in, confirmed
        *((True, 2, 1, True), (True, 2, 2, True), (True, 2, 0, False)),
        *((True, 0, 0, True), (False, 2, 2, False), (False, 0, 0, False)),
    ]
    held, runs, found_in, confirmed = zip(*cases, strict=True)
    ids = [f"bat-{number}" for number in range(len(cases))]
    findings = pd.DataFrame({"finding_id": ids, "held": held, "stability": 0.5})
    again = pd.DataFrame({"finding_id": ids, "runs": runs, "found_in": found_in})
    again = again.assign(**dict.fromkeys(RECURRENCE, 0.5))
    found = with_recurrence(findings, again[::-1])
    assert found["confirmed"].tolist() == list(confirmed)
    assert list(found)[1:4] == ["confirmed", "held", "stability"]


@pytest.fixture
def audited(tmp_path, monkeypatch):
    """A current directory in which the stage finds what it needs; the SAE is made up."""
    monkeypatch.chdir(tmp_path)
    findings, evidence = table(FIRST)
    folder = layout.audit("a", "failures")
    write_table(folder / "findings.csv", findings)
    write_json(folder / "evidence.json", evidence)
    again = pd.DataFrame({"finding_id": ["cat-4", "bat-3", "bat-7"], "runs": 2})
    again["found_in"] = [0, 1, 2]
    again = again.assign(**{name: [0.25, 0.5, 1.0] for name in RECURRENCE})
    write_table(layout.audit("a", "recurrence") / "findings.csv", again)
    write_verdicts(layout.reviews("a"), {"bat-3": verdict("bat-3")})
    write_pins(layout.reviewed("a") / PINNED_FINDINGS, [])

    class Params:
        def audit(self, name: str):
            return type("Audit", (), {"review": type("Review", (), dict(cosine=0.7, images=0.5))})

    sae = type("Sae", (), {"atoms": torch.from_numpy(atoms())})
    monkeypatch.setattr(stage, "begin", lambda _: ("a", Params()))
    monkeypatch.setattr(stage.files, "load", lambda _: sae)
    return tmp_path


def test_the_stage_reads_and_writes(audited, capsys):
    stage.main()
    folder = layout.audit("a", "review")
    findings = read_table(folder / "findings.csv")
    assert findings["verdict"].fillna("").tolist() == ["accept", "", ""]
    assert findings["review_again"].dtype == bool
    # In the order of the findings, whatever that of the other table.
    assert findings["recurrence"].tolist() == [0.5, 1.0, 0.25]
    assert findings["confirmed"].tolist() == [True, True, False]
    assert read_json(folder / "metrics.json")["failures"]["confirmed"] == 2
    place = list(findings).index("stability") + 1
    assert list(findings)[place : place + 4] == RECURRENCE
    assert list(findings)[-4:] == ["confidence", "status", "review_again", "mode_source"]
    assert set(read_json(folder / "evidence.json")) == {"bat-3", "bat-7", "cat-4"}
    assert read_table(folder / "gone.csv").columns.tolist() == GONE_COLUMNS
    assert read_json(folder / "metrics.json")["failures"]["accepted"] == 1
    assert read_pins(folder / "present.parquet")[0].finding_id == "bat-3"
    assert "1 verdicts (bat-3" in capsys.readouterr().err
    assert "stability" not in read_json(folder / "metrics.json")
    components = read_table(folder / "components.parquet")
    assert components["component_id"].tolist() == list(range(12))
    assert components["cosine"].isna().all()


def test_the_stage_carries_components_over(audited):
    order = np.array([4, 2, 0, 7, 1, 5, 3, 6])  # four were not there when it was pinned
    pinned = Components(order.astype(np.int32), atoms()[order].astype(np.float16), 20)
    write_components(layout.reviewed("a") / PINNED, pinned)
    stage.main()
    folder = layout.audit("a", "review")
    components = read_table(folder / "components.parquet")
    assert list(components) == ["component", "component_id", "cosine"]
    assert components["component_id"].tolist() == [*range(8), 20, 21, 22, 23]
    assert components["cosine"][:8].tolist() == pytest.approx([1] * 8, abs=1e-6)
    metrics = read_json(folder / "metrics.json")
    assert metrics["stability"] == {"components_carried_over": 1}
    assert read_components(folder / PRESENT).next_id == 24


def test_the_stage_asks_for_what_dvc_keeps(audited):
    (layout.reviewed("a") / f"{PINNED}.dvc").touch()
    with pytest.raises(ReviewError, match=r"dvc pull reviews/a/components\.parquet\.dvc"):
        stage.main()


def test_the_stage_refuses_a_finding_that_never_was(audited):
    write_verdicts(layout.reviews("a"), {"bat-33": verdict("bat-33")})
    with pytest.raises(ReviewError, match=r"reviews/a.csv, line 2.*'bat-33'.*one of bat-3"):
        stage.main()
