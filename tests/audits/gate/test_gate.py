"""`audit gate` on copies of a report: what fails, what holds, what could not be measured."""

import json
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from audits.command.__main__ import main
from audits.diff.difference import difference
from audits.diff.places import find_reports
from audits.diff.recognition import Missed
from audits.gate.budgets import gate, severity
from pipeline.config import ConfigError, UnreviewedConfig, load_params
from tests.audits.diff.copies import AUDIT, ROOT, Copy
from tests.test_commands import parse

AUC = "robustness.short.spurious_auc"


@pytest.fixture
def now(tmp_path, monkeypatch) -> Copy:
    """A folder to work in, whose report is a copy of one in `before`."""
    Copy(tmp_path / "before")
    copied = Copy(tmp_path / "now")
    for name in ("params.yaml", "catalog.yaml"):
        shutil.copy(ROOT / name, copied.root)
    monkeypatch.chdir(copied.root)
    budgets(against=str(tmp_path / "before" / "reports"))
    return copied


def budgets(**changes) -> None:
    path = Path("params.yaml")
    raw = yaml.safe_load(path.read_text())
    raw["gate"] |= changes
    path.write_text(yaml.safe_dump(raw))


def gated(capsys, *arguments: str) -> tuple[int, dict[str, dict]]:
    """Exit code, and the checks by what they ask for."""
    code = 0
    try:
        main(["gate", AUDIT, "--json", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    said = json.loads(capsys.readouterr().out)
    assert said["passed"] == (code == 0)
    return code, {check["budget"].split()[0]: check for check in said["checks"]}


def outcomes(checks: dict[str, dict], outcome: str) -> set[str]:
    return {name for name, check in checks.items() if check["outcome"] == outcome}


def test_a_copy_of_the_last_release_passes(now, capsys):
    code, checks = gated(capsys)
    assert code == 0
    assert outcomes(checks, "holds") == set(checks)
    assert len(checks) == 1 + len(load_params().gate.metrics)


@pytest.mark.parametrize(("by", "code"), [(-0.02, 0), (-0.15, 1), (0.15, 0)])
def test_an_auc_may_fall_within_its_interval_and_rise(now, capsys, by, code):
    for name in (AUC, AUC.replace("_auc", "_low"), AUC.replace("_auc", "_high")):
        now.set("metrics.json", name, now.metric(name) + by)
    found, checks = gated(capsys)
    assert found == code
    assert outcomes(checks, "fails") == ({AUC} if code else set())
    assert f"{by:+.4g}, 95 %:" in checks[AUC]["by"]


@pytest.mark.parametrize(
    ("metric", "value", "code"),
    [
        ("sae.explained_variance", 0.93, 0),
        ("sae.explained_variance", 0.9, 1),
        ("sae.alive_fraction", 1.0, 0),
        ("failures.expected_false_flags", 1.6, 0),
        ("failures.expected_false_flags", 1.7, 1),
        ("failures.expected_false_flags", 0.0, 0),
    ],
)
def test_a_metric_may_be_worse_by_so_much(now, capsys, metric, value, code):
    now.set("metrics.json", metric, value)
    found, checks = gated(capsys)
    assert found == code
    assert outcomes(checks, "fails") == ({metric} if code else set())


@pytest.mark.parametrize(("limit", "code"), [(0.93, 0), (0.95, 1)])
def test_a_limit_counts_whatever_the_last_release_had(now, capsys, limit, code):
    one = {"metric": "sae.explained_variance", "better": "higher", "worse_by": None, "limit": limit}
    budgets(metrics=[one], against=None, unreviewed=None)
    found, checks = gated(capsys)
    assert found == code
    check = checks["sae.explained_variance"]
    assert check["by"] == ("worse by 0.01155" if code else "")


def test_a_new_finding_that_nobody_reviewed_fails(now, capsys):
    before = Path("../before/reports") / AUDIT / "findings.csv"
    lines = before.read_text().splitlines(keepends=True)
    before.write_text("".join(line for line in lines if not line.startswith("cow-18,")))
    code, checks = gated(capsys)
    assert code == 1
    assert outcomes(checks, "fails") == {"no"}
    assert checks["no"]["by"] == "cow-18"

    def judged(table):
        table["verdict"] = table["verdict"].astype(object)
        table.loc[table["finding_id"] == "cow-18", "verdict"] = "reject"
        return table

    now.findings(judged)
    assert gated(capsys)[0] == 0


def test_what_cannot_be_recognised_is_not_called_new(now, capsys):
    """Another dictionary, of which only example images are here, and all are others."""
    now.findings(lambda table: table.assign(example_ids="train/x/1 train/x/2"))
    now.set("provenance.json", "dvc_lock", {f"data/saes/{AUDIT}": "0" * 32 + ".dir"})
    code, checks = gated(capsys)
    assert code == 0
    assert outcomes(checks, "not measured") == {"no"}
    assert "dvc fetch" in checks["no"]["by"]


@pytest.mark.parametrize(
    ("least", "new", "outcome", "left_out"),
    [
        ("high", [], "holds", ["a-1", "a-4"]),
        ("medium", [], "holds", ["a-1", "a-2", "a-4"]),
        ("high", ["a-5"], "fails", ["a-1", "a-4"]),
        ("high", ["a-4"], "not measured", ["a-1", "a-4"]),
    ],
)
def test_what_the_last_audit_only_missed_is_named_where_it_is_not_counted(
    now, least, new, outcome, left_out
):
    """a-1 is high, a-2 medium, a-3 has a verdict, a-4 nobody has looked for."""
    row = now.report().rows()[0] | {"confirmed": True, "recurrence": 1.0, "verdict": None}
    rows = {
        "a-1": row,
        "a-2": row | {"recurrence": 0.5},
        "a-3": row | {"verdict": "reject"},
        "a-4": row | {"recurrence": None},
        "a-5": row,
    }
    rows = {name: one | {"finding_id": name} for name, one in rows.items()}
    params = load_params()
    before = find_reports(params.gate.against, params)[AUDIT]
    change = difference(before, now.report(), params.audit(AUDIT).review)
    missed = [Missed(rows[f"a-{number}"], 0, 2, 0.2) for number in range(1, 5)]
    found = change.findings._replace(new=[rows[name] for name in new], only_now=missed)
    rule = UnreviewedConfig(severity=least, of="new")
    config = params.gate.model_copy(update={"unreviewed": rule})
    check = gate(now.report(), replace(change, findings=found), config)[0]
    assert check.outcome == outcome
    assert check.by.endswith(f"missed: {len(left_out)} ({', '.join(left_out)})")
    rule = UnreviewedConfig(severity=least, of="all")
    config = params.gate.model_copy(update={"unreviewed": rule})
    assert "missed" not in gate(now.report(), replace(change, findings=found), config)[0].by


def test_severity_is_how_sure_a_finding_is(now, capsys):
    assert severity({"confirmed": False, "recurrence": 1.0}) == "low"
    assert severity({"confirmed": True, "recurrence": 0.5}) == "medium"
    assert severity({"confirmed": True, "recurrence": 1.0}) == "high"
    assert severity({"confirmed": True, "recurrence": None}) is None
    table = now.report().findings
    again = table["confirmed"] & (table["recurrence"] == 1)
    for least, count in (
        ("low", len(table)),
        ("medium", table["confirmed"].sum()),
        ("high", again.sum()),
    ):
        budgets(unreviewed={"severity": least, "of": "all"})
        code, checks = gated(capsys)
        assert (code, checks["no"]["now"]) == (1, str(count))


def test_where_no_other_dictionary_has_looked_high_is_not_measured(now, capsys):
    def alone(table):
        return table.assign(recurrence=None, recurrence_low=None, recurrence_high=None)

    now.findings(alone)
    budgets(unreviewed={"severity": "high", "of": "all"})
    assert outcomes(gated(capsys)[1], "not measured") == {"no"}
    budgets(unreviewed={"severity": "medium", "of": "all"})
    assert outcomes(gated(capsys)[1], "fails") == {"no"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (AUC, "this report has no such number"),
        (AUC.replace("_auc", "_low"), None),
        ("robustness.short.spurious_low", None),
    ],
)
def test_what_is_not_measured_is_named_and_fails_only_if_asked(now, capsys, key, said):
    now.set("metrics.json", key, None)
    if said is None:
        now.set("metrics.json", "robustness.short.spurious_sem", None)
        said = "this report has no interval for it"
    for rule, expected in (("pass", 0), ("fail", 1)):
        budgets(not_measured=rule)
        code, checks = gated(capsys)
        assert code == expected
        assert outcomes(checks, "not measured") == {AUC}
        assert said in checks[AUC]["by"]


def test_an_interval_of_one_dictionary_does_not_measure_another(now, capsys):
    name = "faithfulness.deletion_local.act_grad.auc"
    budget = {"metric": name, "better": "lower", "worse_by": "interval", "limit": None}
    budgets(metrics=[budget])
    now.set("metrics.json", name, now.metric(name) + 0.2)
    assert outcomes(gated(capsys)[1], "fails") == {name}
    now.set("provenance.json", "dvc_lock", {f"data/saes/{AUDIT}": "0" * 32 + ".dir"})
    checks = gated(capsys)[1]
    assert checks[name]["outcome"] == "not measured"
    assert "of one dictionary" in checks[name]["by"]


def test_without_a_release_nothing_is_measured_and_that_is_said(now, capsys):
    budgets(against=None)
    main(["gate", AUDIT])
    said = capsys.readouterr().out
    assert said.startswith("NOTHING MEASURED: 0 failed, 0 held, 10 not measured")
    assert "gate.against is null" in said
    budgets(not_measured="fail")
    with pytest.raises(SystemExit):
        main(["gate", AUDIT])


def test_an_audit_that_is_new_or_has_no_report_is_not_measured(now, capsys):
    with pytest.raises(SystemExit, match="1"):
        budgets(not_measured="fail")
        main(["gate"])
    said = capsys.readouterr().out
    assert "dvc repro report@lesions-tiny" in said
    assert "scenes-tiny" in said


def test_an_audit_that_only_the_release_has_is_not_measured(now, tmp_path, capsys):
    reports = tmp_path / "before" / "reports"
    shutil.copytree(reports / AUDIT, reports / "birds")
    path = Path("params.yaml")
    raw = yaml.safe_load(path.read_text())
    raw["audits"] = {AUDIT: raw["audits"][AUDIT]}
    path.write_text(yaml.safe_dump(raw))
    for rule, passed in (("pass", True), ("fail", False)):
        budgets(not_measured=rule)
        with nullcontext() if passed else pytest.raises(SystemExit, match="1"):
            main(["gate", "--json"])
        said = json.loads(capsys.readouterr().out)
        assert said["passed"] == passed
        left = [check for check in said["checks"] if check["outcome"] == "not measured"]
        assert [check["audit"] for check in left] == ["birds"]
        assert left[0]["by"].endswith("has a report of it, and params.yaml has no such audit")
    # Nobody has asked for it here.
    assert gated(capsys)[0] == 0


def test_junit_and_markdown_are_written(now, tmp_path, capsys):
    now.set("metrics.json", "sae.explained_variance", 0.5)
    now.set("metrics.json", "sae.alive_fraction", None)
    code, checks = gated(capsys, "--junit", "gate.xml", "--markdown", "gate.md")
    assert code == 1
    (suite,) = ElementTree.parse("gate.xml").getroot()
    assert (suite.get("name"), suite.get("tests")) == (AUDIT, str(len(checks)))
    found = {
        kind: [case.get("name").split()[0] for case in suite if case.find(kind) is not None]
        for kind in ("failure", "skipped")
    }
    assert found == {"failure": ["sae.explained_variance"], "skipped": ["sae.alive_fraction"]}
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    text = Path("gate.md").read_text()
    assert text.startswith("## FAILED: 1 failed")
    assert "| sae.explained\\_variance not worse by more than 0.02 | 0.5 |" in text


def test_no_stage_reads_the_budgets():
    assert not re.search(r"\bgate\b", (ROOT / "dvc.yaml").read_text())


def test_the_workflow_of_github_types_commands_that_there_are(monkeypatch):
    text = (ROOT / ".github/workflows/audit.yml").read_text()
    steps = yaml.safe_load(text)["jobs"]["gate"]["steps"]
    typed = re.findall(
        r"^ *((?:audit|make) [^>\n]+)", "\n".join(s.get("run", "") for s in steps), re.M
    )
    assert len(typed) == 3
    for command in typed:
        parse(command.strip(), monkeypatch)


def test_a_release_that_is_not_there_stops_it(now):
    with pytest.raises(SystemExit, match="v9 holds no report"):
        main(["gate", AUDIT, "--against", "v9"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"metrics": [{"metric": "a", "better": "higher", "worse_by": None, "limit": None}]},
            "nothing can fail",
        ),
        (
            {
                "metrics": [
                    {"metric": "a", "better": way, "worse_by": 1, "limit": None}
                    for way in ("lower", "higher")
                ]
            },
            "twice",
        ),
        ({"not_measured": "ignore"}, "not_measured"),
        ({"unreviewed": {"severity": "huge", "of": "new"}}, "severity"),
    ],
)
def test_impossible_budgets_are_refused(now, change, said):
    budgets(**change)
    with pytest.raises(ConfigError, match=said):
        load_params()
