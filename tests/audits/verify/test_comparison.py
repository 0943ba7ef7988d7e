"""What counts as the same: metrics, findings, and stages in the order of the DAG."""

import json
from pathlib import Path

import pytest

from audits.diff.difference import difference
from audits.history.lock import outside, upstream
from audits.verify import comparison
from audits.verify.comparison import Judged, beyond, findings, metrics, stage
from audits.verify.copy import CopyError, plan
from audits.verify.outputs import Committed
from pipeline.config import ToleranceConfig, VerifyConfig, load_params
from tests.audits.diff.copies import Copy

EXACT = VerifyConfig(relative=0.00001, metrics=[])
STAGES = {
    "report": {"deps": [{"path": "data/found"}], "outs": [{"path": "reports/a"}]},
    "found": {
        "deps": [{"path": "data/codes/1"}, {"path": "words"}],
        "outs": [{"path": "data/found"}],
    },
    "codes": {
        "deps": [{"path": "data/texts"}, {"path": "raw"}],
        "outs": [{"path": "data/codes"}],
        "params": {"recipes.yaml": {"encode": 1}},
    },
    "texts": {"deps": [{"path": "raw/classes"}], "outs": [{"path": "data/texts"}]},
    "other": {"deps": [{"path": "raw"}], "outs": [{"path": "data/other"}]},
}


def test_stages_are_in_the_order_of_the_dag():
    assert upstream(STAGES, "report") == ["texts", "codes", "found", "report"]
    assert outside(STAGES, "report") == ["raw", "raw/classes", "words"]


def test_quick_keeps_what_costs_hours_and_what_that_stands_on():
    assert plan(STAGES, "report", quick=False).computed == ["texts", "codes", "found", "report"]
    quick = plan(STAGES, "report", quick=True)
    assert (quick.kept, quick.computed) == (["texts", "codes"], ["found", "report"])
    with pytest.raises(CopyError, match="has no nothing"):
        plan(STAGES, "nothing", quick=True)


@pytest.mark.parametrize(
    ("now", "rules", "holds"),
    [
        (0.500001, [], True),
        (0.51, [], False),
        (0.51, [("a.*", 0.02)], True),
        (0.53, [("a.*", 0.02)], False),
        (0.53, [("a.auc", "interval"), ("*", 0.0)], True),
        (0.7, [("a.auc", "interval")], False),
        (0.51, [("b.*", 1.0)], False),
        (None, [("*", 1.0)], False),
    ],
)
def test_a_metric_has_its_tolerance(now, rules, holds):
    config = VerifyConfig(
        relative=0.00001, metrics=[ToleranceConfig(metric=m, within=w) for m, w in rules]
    )
    moved = now or 0.5
    before, after = (
        {"a.auc": value, "a.low": middle - 0.05, "a.high": middle + 0.05}
        for value, middle in ((0.5, 0.5), (now, moved))
    )
    judged = {one.name: one for one in metrics(before, after, config)}
    assert judged["a.auc"].holds == holds


def test_a_finding_that_is_gone_or_changed_is_named(tmp_path):
    before, now = Copy(tmp_path / "before"), Copy(tmp_path / "now")
    config = load_params().audit("scenes-tiny").review
    assert findings(difference(before.report(), now.report(), config), EXACT) == []

    def change(table):
        table.loc[1, "score"] *= 1.01
        table.loc[2, "mode"] = "another"
        return table.drop(index=0)

    rows = before.report().rows()
    now.findings(change)
    judged = findings(difference(before.report(), now.report(), config), EXACT)
    assert {one.name for one in beyond(judged)} == {
        rows[0]["finding_id"],
        f"{rows[1]['finding_id']}, score",
        f"{rows[2]['finding_id']}, mode",
    }
    loose = VerifyConfig(relative=0, metrics=[ToleranceConfig(metric="findings.score", within=1.0)])
    judged = findings(difference(before.report(), now.report(), config), loose)
    assert len(beyond(judged)) == 2


def judged_of(tmp_path: Path, change) -> list[Judged]:
    """What is judged of findings of which a copy has others in one thing."""
    before, now = Copy(tmp_path / "before"), Copy(tmp_path / "now")
    now.findings(change)
    config = load_params().audit("scenes-tiny").review
    return findings(difference(before.report(), now.report(), config), EXACT)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stability", None),
        ("q_value", None),
        ("recurrence", None),
        ("score", None),
        ("max_z", None),
        ("images", None),
        ("held", False),
        ("held", None),
        ("component_label", "x"),
        ("status", "persists"),
        ("review_again", True),
        ("mode_source", "person"),
    ],
)
def test_what_disappears_from_findings_or_is_another_text_is_beyond(tmp_path, column, value):
    rows = Copy(tmp_path / "as it is").report().rows()
    other = {row["finding_id"] for row in rows if row[column] != value}
    assert other
    judged = judged_of(tmp_path, lambda table: table.assign(**{column: value}))
    assert {one.name for one in beyond(judged)} == {f"{name}, {column}" for name in other}
    assert all(one.by is None for one in judged)


def test_a_column_that_one_report_lacks_is_beyond(tmp_path):
    judged = judged_of(tmp_path, lambda table: table.drop(columns=["score", "held"]))
    rows = Copy(tmp_path / "as it is").report().rows()
    assert len(beyond(judged)) == len(judged) == 2 * len(rows)


@pytest.mark.parametrize(
    ("now", "images", "holds"),
    [
        ("c b a", 9, None),
        ("a b d", 9, True),
        ("a b d", 3, False),
        ("a d e", 9, False),
        ("a b", 9, False),
        ("a b c d", 9, False),
        (None, 9, False),
        (None, None, False),
    ],
)
def test_of_the_strongest_images_rounding_may_exchange_the_last(now, images, holds):
    judged = list(comparison._examples("f", "a b c", now, images))
    assert [one.holds for one in judged] == ([] if holds is None else [holds])


def test_images_that_stand_for_a_finding_in_another_order_are_the_same(tmp_path):
    def turned(table):
        ids = [" ".join(reversed(ids.split())) for ids in table["example_ids"]]
        return table.assign(example_ids=ids)

    assert judged_of(tmp_path, turned) == []


def outcome(tmp_path: Path, before: dict, now: dict, in_git: bool = False, digest: str = "2"):
    """Of a stage with one JSON file."""
    (tmp_path / "m.json").write_text(json.dumps(now))
    committed = Committed("HEAD")
    committed.tracked = {"m.json"} if in_git else set()
    committed.files = lambda out: {out["path"]: json.dumps(before).encode}
    entries = ({"outs": [{"path": "m.json", "md5": md5}]} for md5 in ("1", digest))
    return stage("s", *entries, committed, tmp_path, 0.01)


def test_a_stage_differs_where_a_number_does(tmp_path):
    assert outcome(tmp_path, {"a": 1.0}, {"a": 1.005}).outcome == "within"
    found = outcome(tmp_path, {"a": 1.0}, {"a": 1.5})
    assert found.outcome == "differs"
    assert [(part.what, part.said) for part in found.parts] == [("a", "1.0, and 1.5 now")]


def test_what_git_keeps_is_compared_whatever_the_lock_says(tmp_path):
    assert outcome(tmp_path, {"a": 1.0}, {"a": 1.5}, digest="1").outcome == "same"
    assert outcome(tmp_path, {"a": 1.0}, {"a": 1.5}, in_git=True, digest="1").outcome == "differs"
    assert outcome(tmp_path, {"a": 1.0}, {"a": 1.0}, in_git=True, digest="1").outcome == "same"
