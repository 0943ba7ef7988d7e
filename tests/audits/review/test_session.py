"""`audit review`: answers become files, and those survive what comes after."""

import io
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from audits.command.__main__ import main
from audits.review.agreement import agreement, said
from audits.review.desk import Desk, pins_after
from audits.review.session import run
from audits.review.verdict_files import Verdict, read_pins, read_verdicts, write_verdicts
from tests.audits.review.invented import AUDIT, FIRST, atoms, joined, pictures, write_stage

KNOWN = ["bat-3", "bat-7", "cat-4"]


def answer(monkeypatch, *keys: str, options: tuple[str, ...] = ("--reviewer", "Ann")) -> None:
    """Run the command with answers on stdin, which ends after them."""
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{key}\n" for key in keys)))
    main(["review", AUDIT, *options])


def given() -> dict[str, Verdict]:
    return read_verdicts(Path(f"reviews/{AUDIT}.csv"), KNOWN)


def test_answers_become_lines(reviewable, monkeypatch, capsys):
    answer(monkeypatch, "a", "m", "t", "n", "a sign, really", "R", "s")
    today = date.today().isoformat()
    assert given() == {
        "bat-3": Verdict("bat-3", "accept", "", "", "Ann", today),
        "bat-7": Verdict("bat-7", "reject", "typography", "a sign, really", "Ann", today),
    }
    out = capsys.readouterr().out
    for evidence in (
        "bat-3  new",
        "component  3 “tarmac”, with 5",
        "suggested  polysemy (0.75): “tarmac” is background",
        "max z 12.2, q 1e-09, confirmed, stability 0.91",
        "examples   train/059 train/058 train/057",
        "reports/scenes-tiny/report.html",
        "(2 verdicts)",
        "(3 findings and all components",
        "dvc repro publish@scenes-tiny",
    ):
        assert evidence in out
    assert [pin.finding_id for pin in read_pins(Path(f"reviews/{AUDIT}/findings.parquet"))] == KNOWN


def test_every_answer_is_written_at_once(reviewable):
    answers = iter(["a", "a"])
    written = []

    def ask(question: str) -> str | None:
        written.append(len(given()))
        return next(answers, None)

    assert run(Desk.open(AUDIT), KNOWN, "Ann", "2025-03-01", ask, lambda text: None) == 2
    assert written == [0, 1, 2]


def test_only_what_is_open_is_asked_for(reviewable, monkeypatch, capsys):
    answer(monkeypatch, "a", "q")
    answer(monkeypatch, "r", "r")
    assert [v.verdict for v in given().values()] == ["accept", "reject", "reject"]
    capsys.readouterr()
    answer(monkeypatch)
    assert "no finding waits" in capsys.readouterr().out
    answer(monkeypatch, "r", "q", options=("--reviewer", "Bea", "--all"))
    assert given()["bat-3"][1:5:3] == ("reject", "Bea")
    assert "accept, mode as suggested, by Ann" in capsys.readouterr().out


def test_unknown_keys_and_the_end_of_input_change_nothing(reviewable, monkeypatch, capsys):
    answer(monkeypatch, "x", "m", "z", "p")
    assert given() == {}
    assert read_pins(Path(f"reviews/{AUDIT}/findings.parquet")) == []
    out = capsys.readouterr().out
    assert "'x' is none of the keys" in out
    assert "'z' is none of the keys" in out
    assert "nothing written" in out


def test_the_reviewer_is_gits_user(reviewable, monkeypatch):
    monkeypatch.setattr("audits.command.review.git_user", lambda: "Cem")
    answer(monkeypatch, "a", options=())
    assert given()["bat-3"].reviewer == "Cem"


def test_a_downloaded_csv_is_taken(reviewable, monkeypatch, capsys):
    answer(monkeypatch, "a", "q")
    write_verdicts(
        reviewable / "down.csv",
        {
            "bat-3": Verdict("bat-3", "reject", "", "", "Bea", "2025-03-02"),
            "cat-4": Verdict("cat-4", "accept", "compound", "", "Bea", "2025-03-02"),
        },
    )
    main(["review", AUDIT, "--take", "down.csv"])
    assert [(v.finding_id, v.verdict) for v in given().values()] == [
        ("bat-3", "reject"),
        ("cat-4", "accept"),
    ]
    assert "bat-3: accept by Ann is replaced by reject" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (
            "finding_id,verdict\n",
            ["--take", "f.csv"],
            "review: f.csv, line 1: no column mode, note",
        ),
        ("", ["--take", "none.csv"], "none.csv does not exist"),
        ("", ["--merge", "f.csv", "f.csv"], "one file twice"),
        ("", ["--merge", "f.csv", f"reviews/{AUDIT}.csv"], "head -1 first.csv"),
    ],
)
def test_bad_input_is_one_message(reviewable, text, options, said):
    (reviewable / "f.csv").write_text(text)
    before = (reviewable / f"reviews/{AUDIT}.csv").read_bytes()
    with pytest.raises(SystemExit) as stopped:
        main(["review", AUDIT, *options])
    assert said in str(stopped.value)
    assert (reviewable / f"reviews/{AUDIT}.csv").read_bytes() == before
    with pytest.raises(SystemExit, match=r"audit review: params\.yaml has no audits\.nope"):
        main(["review", "nope"])


def test_without_the_stage_there_is_nothing_to_review(reviewable):
    shutil.rmtree(reviewable / "data")
    with pytest.raises(SystemExit, match="dvc repro"):
        main(["review", AUDIT])


def opinions(reviewer: str, **given: str) -> dict[str, Verdict]:
    """Verdicts from words: accept, reject, or accept with a mode's name."""
    made = {}
    for key, word in given.items():
        finding_id = key.replace("_", "-")
        verdict, _, mode = word.partition(" ")
        made[finding_id] = Verdict(finding_id, verdict, mode, "", reviewer, "2025-03-01")
    return made


def test_agreement_by_hand():
    words = {f"bat_{i}": "accept" for i in range(4)} | {f"bat_{i}": "reject" for i in range(4, 8)}
    first = opinions("Ann", **words, cat_1="accept")
    second = opinions(
        "Bea", **words | {"bat_0": "reject", "bat_1": "accept spurious"}, dog_1="reject"
    )
    suggested = dict.fromkeys([*first, *second], "polysemy")
    suggested["bat-2"] = "spurious"
    found = agreement(first, second, suggested)
    # 7 of 8 alike; by chance 4/8 · 3/8 + 4/8 · 5/8 = 1/2.
    assert found.verdict_kappa == pytest.approx((7 / 8 - 1 / 2) / (1 / 2))
    # Modes of bat-1, 2, 3: polysemy, spurious, polysemy and spurious, spurious, polysemy; by
    # chance 2/3 · 1/3 + 1/3 · 2/3 = 4/9.
    assert found.mode_kappa == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
    assert [v.finding_id for v in found.agreed] == [
        "bat-2",
        "bat-3",
        "bat-4",
        "bat-5",
        "bat-6",
        "bat-7",
    ]
    assert [one.finding_id for one, _ in found.disagreements] == ["bat-0", "bat-1"]
    assert found.single == ["cat-1", "dog-1"]
    assert (found.same_verdict, found.same_mode, found.both_accept) == (7, 2, 3)
    assert found.agreed[0].reviewer == "Ann + Bea"
    assert "bat-1: Ann: accept / Bea: accept (spurious)" in said(found)


def test_a_mode_that_one_chose_and_the_other_left_to_the_suggestion_is_agreed():
    first, second = opinions("Ann", bat_1="accept spurious"), opinions("Bea", bat_1="accept")
    (line,) = agreement(first, second, {"bat-1": "spurious"}).agreed
    assert line.mode == "spurious"


def test_kappa_is_undefined_where_all_is_one():
    first, second = opinions("Ann", bat_1="accept"), opinions("Bea", bat_1="accept")
    found = agreement(first, second, {"bat-1": "spurious"})
    assert found.verdict_kappa is None
    assert found.mode_kappa is None
    assert "undefined" in said(found)
    assert agreement({}, {}, {}).verdict_kappa is None


def test_what_both_agree_on_is_written_and_the_rest_is_asked_for(reviewable, monkeypatch, capsys):
    write_verdicts(
        reviewable / "a.csv", opinions("Ann", bat_3="accept", bat_7="reject", cat_4="accept")
    )
    write_verdicts(reviewable / "b.csv", opinions("Bea", bat_3="accept", bat_7="accept"))
    main(["review", AUDIT, "--merge", "a.csv", "b.csv"])
    assert list(given()) == ["bat-3"]
    out = capsys.readouterr().out
    assert "bat-7: Ann: reject / Bea: accept" in out
    assert "by one only, left open: cat-4" in out
    answer(monkeypatch, "r", "q", options=("--reviewer", "Cem"))
    assert given()["bat-7"].reviewer == "Cem"
    # A second merge keeps the third decision.
    main(["review", AUDIT, "--merge", "a.csv", "b.csv"])
    assert given()["bat-7"].reviewer == "Cem"
    assert "decided before, and kept: bat-7" in capsys.readouterr().out


def test_pins_show_what_was_reviewed():
    before = joined(FIRST, [], {}).present
    now = [replace_images(pin, ("train/other",)) for pin in before[:2]]
    verdicts = opinions("Ann", bat_3="accept", bat_7="accept", cat_4="reject")
    changed = verdicts | opinions("Ann", bat_7="reject")
    pins = {p.finding_id: p for p in pins_after(before, now, verdicts, changed)}
    assert pins["bat-3"] == before[0]  # its verdict was given on other images
    assert pins["bat-7"] == now[1]
    assert pins["cat-4"] == before[2]  # gone, but with a verdict
    again = pins_after(before, now, verdicts, verdicts, again=["bat-3"])
    assert again[0] == now[0]
    without = pins_after(before, now, {}, {})
    assert [p.finding_id for p in without] == ["bat-3", "bat-7"]
    assert without[0] == now[0]


def replace_images(pin, images):
    return pin._replace(images=images)


def test_what_changed_waits_until_it_is_reviewed_again(reviewable, monkeypatch, capsys):
    answer(monkeypatch, "a", "a", "a")
    anew = [FIRST[0] | {"images": pictures(40, 140)}, *FIRST[1:]]
    assert write_stage(AUDIT, anew).metrics["review_again"] == 1
    # A verdict on another finding leaves it waiting.
    answer(monkeypatch, "s", "s", "r", options=("--reviewer", "Ann", "--all"))
    assert write_stage(AUDIT, anew).findings["review_again"].tolist() == [True, False, False]
    capsys.readouterr()
    answer(monkeypatch, "a")
    assert "1 of 3 findings" in (out := capsys.readouterr().out)
    assert "again      shares 33% of its images" in out
    answer(monkeypatch)
    assert "no finding waits" in capsys.readouterr().out
    assert write_stage(AUDIT, anew).metrics["review_again"] == 0


def test_a_taken_line_is_given_again_though_it_is_the_same(reviewable, monkeypatch):
    answer(monkeypatch, "a", "a", "a")
    anew = [row | {"images": pictures(200, 240)} for row in FIRST]
    write_stage(AUDIT, anew)
    write_verdicts(reviewable / "down.csv", {"bat-7": given()["bat-7"]})
    main(["review", AUDIT, "--take", "down.csv"])
    assert write_stage(AUDIT, anew).findings["review_again"].tolist() == [True, False, True]


def test_a_verdict_on_a_finding_that_is_gone_comes_back_with_it(reviewable, monkeypatch):
    answer(monkeypatch, "a", "r", "a")
    gone = write_stage(AUDIT, FIRST[1:]).gone
    assert gone["finding_id"].tolist() == ["bat-3"]
    answer(monkeypatch, "r", "r", options=("--reviewer", "Ann", "--all"))
    order = np.roll(np.arange(12), 1)  # component j is number j + 1 now
    back = [row | {"components": [j + 1 for j in row["components"]]} for row in FIRST]
    result = write_stage(AUDIT, back, atoms()[order])
    assert result.findings["finding_id"].tolist() == KNOWN
    assert result.findings["verdict"].tolist() == ["accept", "reject", "reject"]
    assert result.metrics["gone"] == 0


def test_pinning_alone_gives_no_verdict(reviewable, capsys):
    main(["review", AUDIT, "--pin"])
    assert given() == {}
    assert len(read_pins(Path(f"reviews/{AUDIT}/findings.parquet"))) == 3
    assert "0 verdicts" in capsys.readouterr().out
