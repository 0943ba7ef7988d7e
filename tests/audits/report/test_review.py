"""Going through findings on the page: what the script decides, stores and writes as CSV."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audits.report.sections.review import given, unguarded
from audits.report.templating import TEMPLATES
from audits.review.verdict_files import MODES, read_verdicts

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed: the script cannot run")

SET_UP = """
const review = new Review(["a", "b,1", "c"], {"a": {verdict: "accept", mode: "", note: "seen",
  date: "2026-01-01"}});
"""


def run(script: str) -> Any:
    """What a script prints as JSON, after the page's own one."""
    assert NODE is not None
    source = (TEMPLATES / "review_state.js").read_text(encoding="utf-8")
    done = subprocess.run(
        [NODE, "-"], input=source + SET_UP + script, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@needs_node
def test_only_what_is_decided_here_is_written() -> None:
    said = run("""
        review.change("b,1", {verdict: "reject"}, "2026-02-03");
        review.change("c", {note: "later"}, "2026-02-03");
        console.log(JSON.stringify([review.csv("Ada"), review.done, review.waiting]));
    """)
    text, done, waiting = said
    assert rows(text) == [
        ["finding_id", "verdict", "mode", "note", "reviewer", "date"],
        ["b,1", "reject", "", "", "Ada", "2026-02-03"],
    ]
    assert (done, waiting) == (2, ["c"])


@needs_node
def test_a_verdict_of_before_can_be_changed_and_affirmed() -> None:
    text = run("""
        review.change("a", {verdict: "accept"}, "2026-02-03");
        review.setMode("c", "typography", "2026-02-03");
        review.change("b,1", {verdict: "reject"}, "2026-02-03");
        review.setMode("b,1", "unclear", "2026-02-03");
        console.log(JSON.stringify(review.csv("Ada")));
    """)
    assert [row[:4] for row in rows(text)[1:]] == [
        ["a", "accept", "", "seen"],
        ["b,1", "reject", "unclear", ""],
        ["c", "accept", "typography", ""],
    ]


@needs_node
def test_undo_goes_back_step_by_step() -> None:
    said = run("""
        review.change("a", {verdict: "reject"}, "2026-02-03");
        review.change("a", {note: "x"}, "2026-02-03");
        const seen = [];
        for (let step = 0; step < 3; step++) seen.push([review.undo() ?? null, review.of("a")]);
        console.log(JSON.stringify([seen, review.lines]));
    """)
    assert [(finding, row["verdict"], row["note"]) for finding, row in said[0]] == [
        ("a", "reject", "seen"),
        ("a", "accept", "seen"),
        (None, "accept", "seen"),
    ]
    assert said[1] == []


@needs_node
@pytest.mark.parametrize(
    "note", ["=1+1", "+a", "-b", "@c", "'=d", 'say "so", then', "two\nlines", "plain", "'quoted'"]
)
def test_notes_survive_the_csv_and_start_no_formula(tmp_path: Path, note: str) -> None:
    text = run(f"""
        review.change("c", {{verdict: "accept", note: {json.dumps(note)}}}, "2026-02-03");
        console.log(JSON.stringify(review.csv("=Ada")));
    """)
    path = tmp_path / "taken.csv"
    path.write_text(text, encoding="utf-8", newline="")
    row = read_verdicts(path, {"c"})["c"]
    assert not re.match(r"[=+\-@\t\r]", row.note)
    assert not re.match(r"[=+\-@\t\r]", row.reviewer)
    assert unguarded(row.note) == note
    assert given({"c": {"review": row._asdict()}})["c"]["note"] == note


@needs_node
def test_what_the_report_knows_by_now_is_no_draft_any_more() -> None:
    said = run("""
        const taken = {verdict: "accept", mode: "", note: "seen", date: "2026-01-01"};
        const draft = {verdict: "reject", mode: "", note: "", date: "2026-02-03"};
        review.restore({"a": taken, "c": draft, "elsewhere": draft});
        console.log(JSON.stringify([review.lines, review.stored]));
    """)
    assert said[0] == ["c"]
    assert list(said[1]) == ["c"]


@needs_node
def test_keys_stand_for_what_the_page_has_buttons_for(report) -> None:
    keys = run("console.log(JSON.stringify(ACTIONS));")
    html = (report() / "report.html").read_text()
    panel = html[html.index('<section id="review"') : html.index('<textarea id="csv"')]
    buttons = set(re.findall(r'data-do="(\w+)"', panel))
    assert set(keys.values()) - {"note"} == buttons - {"download", "copy"}
    assert tuple(keys[str(number)] for number in range(1, 6)) == MODES


def test_the_page_holds_verdicts_and_cannot_be_broken_out_of(report) -> None:
    html = (report() / "report.html").read_text()
    held = html[html.index('id="given">') + len('id="given">') :]
    held = held[: held.index("</script>")]
    assert json.loads(held) == {
        "audit": "zoo-small",
        "data": "0123456789ab",
        "verdicts": {
            "f-0001": {
                "verdict": "accept",
                "mode": "polysemy",
                "note": "=the </script> bat",
                "date": "2026-01-31",
            }
        },
    }
    assert "audit review zoo-small --take FILE" in html


def test_without_findings_there_is_nothing_to_review(report) -> None:
    html = (report(findings=False) / "report.html").read_text()
    assert 'id="review"' not in html and "class Review" not in html


def test_no_verdict_gives_nothing() -> None:
    assert given({"a": {"review": None}}) == {}
