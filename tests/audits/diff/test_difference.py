"""Reports that differ in one thing: the difference is that, and only that."""

from dataclasses import replace

import pandas as pd
import pytest

from audits.diff.difference import Difference, difference, paired
from audits.diff.figures import Moved
from audits.diff.places import PlaceError
from audits.diff.recognition import Missed
from audits.diff.sections import html, markdown, text
from audits.diff.wording import sections, title
from pipeline.config import ReviewConfig
from tests.audits.diff.copies import AUDIT, Copy

CONFIG = ReviewConfig(cosine=0.7, images=0.5)
AUC = "robustness.short.spurious_auc"
SAE = f"data/saes/{AUDIT}"


def compared(before: Copy, now: Copy) -> Difference:
    return difference(before.report(), now.report(), CONFIG)


def only(found: Difference, *, new=(), fixed=(), changes=None, metrics=None) -> None:
    """Assert that a difference is this and nothing else."""
    assert [row["finding_id"] for row in found.findings.new] == list(new)
    assert [row["finding_id"] for row in found.findings.fixed] == list(fixed)
    changed = {one.now["finding_id"]: one.changes for one in found.findings.persisting}
    assert {key: value for key, value in changed.items() if value} == (changes or {})
    assert {one.name: one.verdict for one in found.metrics} == (metrics or {})


def test_a_copy_does_not_differ(before, now):
    found = compared(before, now)
    only(found)
    assert found.nothing
    assert found.origins.nothing
    assert len(found.findings.persisting) == len(before.report().findings)
    assert found.origins.unknown == []


def test_reports_without_a_finding(before, now):
    every = list(now.report().findings["finding_id"])
    now.findings(lambda table: table.head(0))
    only(compared(before, now), fixed=every)
    before.findings(lambda table: table.head(0))
    only(compared(before, now))


@pytest.mark.parametrize("gone", ["bat-171", "bow-255"])  # the latter of the last component
def test_a_finding_that_is_gone_is_fixed(before, now, gone):
    now.findings(lambda table: table[table["finding_id"] != gone])
    found = compared(before, now)
    only(found, fixed=[gone])
    assert {one.by for one in found.findings.persisting} == {"component"}
    assert found.origins.nothing


def test_a_finding_that_was_not_there_is_new(before, now):
    before.findings(lambda table: table[table["finding_id"] != "bat-171"])
    only(compared(before, now), new=["bat-171"])


def test_one_class_and_component_goes_and_another_comes(before, now):
    """Same class, another component, other images: not the same finding."""

    def other(table: pd.DataFrame) -> pd.DataFrame:
        row = table["finding_id"] == "bat-171"
        other = {"finding_id": "bat-9", "component": 9, "example_ids": "train/cave/1 train/cave/2"}
        table.loc[row, list(other)] = list(other.values())
        return table

    now.findings(other)
    only(compared(before, now), new=["bat-9"], fixed=["bat-171"])


def test_of_another_dictionary_findings_are_known_by_images_whatever_their_numbers(before, now):
    """The same numbers mean nothing then: classes keep their images and exchange components."""

    def renumbered(table: pd.DataFrame) -> pd.DataFrame:
        table["component"] = table["component"].to_numpy()[::-1]
        table["finding_id"] = table["class"] + "-" + table["component"].astype(str)
        return table

    now.findings(renumbered)
    now.set("provenance.json", "dvc_lock", {SAE: "0" * 32 + ".dir"})
    found = compared(before, now)
    only(found)
    assert not found.findings.sure
    assert found.origins.dictionary
    assert {one.by for one in found.findings.persisting} == {"images"}
    for one in found.findings.persisting:
        assert one.before["example_ids"] == one.now["example_ids"]


def test_what_changed_in_a_finding_that_persists_is_told(before, now):
    def judged(table: pd.DataFrame) -> pd.DataFrame:
        table["verdict"] = table["verdict"].astype(object)
        table.loc[table["finding_id"] == "cow-18", ["verdict", "mode"]] = ["accept", "typography"]
        return table

    now.findings(judged)
    changes = {"mode": ("spurious", "typography"), "verdict": (None, "accept")}
    only(compared(before, now), changes={"cow-18": changes})


@pytest.mark.parametrize(
    ("by", "verdict"), [(-0.02, "within"), (-0.15, "changed"), (0.02, "within"), (0.15, "changed")]
)
def test_a_metric_changes_only_by_more_than_its_interval(before, now, by, verdict):
    for name in (AUC, AUC.replace("_auc", "_low"), AUC.replace("_auc", "_high")):
        now.set("metrics.json", name, now.metric(name) + by)
    only(compared(before, now), metrics={AUC: verdict})


def test_a_metric_without_an_interval_is_never_called_a_change(before, now):
    now.set("metrics.json", "sae.explained_variance", 0.1)
    found = compared(before, now)
    only(found, metrics={"sae.explained_variance": "no interval"})
    shown = text(title(found), sections(found, everything=False))
    assert "1 moved that have no interval" in shown
    assert "0 changed" in shown


def test_a_metric_that_is_not_there_any_more_is_named(before, now):
    now.set("metrics.json", "sae.cosine", None)
    found = compared(before, now)
    assert found.metrics == [Moved("sae.cosine", before.metric("sae.cosine"), None, None)]


def test_a_setting_is_named_with_both_values(before, now):
    def deeper(stages):
        stages[f"failures@{AUDIT}"]["params"]["params.yaml"][f"audits.{AUDIT}.failures"]["q"] = 0.1

    now.lock(deeper)
    found = compared(before, now)
    only(found)
    assert found.origins.settings == {"audits.*.failures.q": (0.05, 0.1)}
    assert found.origins._replace(settings={}).nothing


def test_settings_of_another_audit_are_no_origin(before, now):
    def other(stages):
        stages["failures@lesions-tiny"]["params"]["params.yaml"]["threads"] = 7

    now.lock(other)
    assert compared(before, now).origins.nothing


def test_code_words_and_model_are_named(before, now):
    def edited(stages):
        for dep in stages[f"failures@{AUDIT}"]["deps"]:
            if dep["path"] == "audits/failures":
                dep["md5"] = "1" * 32
        for dep in stages["check_texts@scenes"]["deps"]:
            if dep["path"] == "vocabularies/scenes.csv":
                dep["md5"] = "2" * 32
        for dep in stages["embed_concepts@scenes"]["deps"]:
            if dep["path"] == "vocabularies/scenes.csv":
                dep["md5"] = "2" * 32

    now.lock(edited)
    now.set("provenance.json", "model.weights_sha256", "3" * 64)
    why = compared(before, now).origins
    assert why.code == ["audits/failures"]
    assert why.files == ["vocabularies/scenes.csv"]
    assert {key: pair[1] for key, pair in why.model.items()} == {"weights_sha256": "3" * 64}
    assert why._replace(code=[], files=[], model={}).nothing


def test_a_folder_that_the_dataset_or_model_tells_of_is_not_named_again(before, now):
    def brought(dataset, model):
        """Data and weights that no stage makes."""

        def change(stages):
            for made in ("sample@scenes", "pretrain"):
                del stages[made]
            for stage in stages.values():
                for dep in stage["deps"]:
                    changed = {"data/raw/scenes": dataset, "data/models/tiny": model}
                    dep["md5"] = changed.get(dep["path"], dep["md5"])

        return change

    before.lock(brought("1" * 32, "1" * 32))
    now.lock(brought("2" * 32, "2" * 32))
    # A licence, say, or a tokenizer: neither fingerprint nor weights know of it.
    assert compared(before, now).origins.files == ["data/models/tiny", "data/raw/scenes"]
    now.set("provenance.json", "dataset.fingerprint", "3" * 64)
    assert compared(before, now).origins.files == ["data/models/tiny"]
    now.set("provenance.json", "model.weights_sha256", "3" * 64)
    assert compared(before, now).origins.files == []


def test_where_no_lock_is_beside_a_report_that_is_said(before, now):
    (now.root / "dvc.lock").unlink()
    (unknown,) = compared(before, now).origins.unknown
    assert "settings and code" in unknown
    assert str(now.folder) in unknown


def test_terminal_markdown_and_page_say_the_same(before, now):
    now.findings(lambda table: table[table["finding_id"] != "bat-171"])
    now.set("metrics.json", "accuracy.short", 0.5)
    found = compared(before, now)
    made = sections(found, everything=False)
    for show in (text, html):
        said = show(title(found), made)
        assert "bat-171" in said
        assert "accuracy.short" in said
        assert "Fixed findings" in said
    assert "| bat-171 | bat | cricket bat | polysemy |" in markdown(title(found), made)


def test_what_one_audit_missed_is_no_change(before, now):
    found = compared(before, now)
    row, *others = now.report().rows()
    missed = found.findings._replace(only_now=[Missed(row, 1, 2, 0.25)])
    found = replace(found, findings=missed)
    assert not found.nothing
    said = text(title(found), sections(found, everything=False))
    assert f"0 new, 0 fixed, {1 + len(others)} persisting, 1 missed by one audit" in said
    assert "1 of 2  0.25" in said.partition("Findings that one audit missed")[2]
    (told,) = found.as_json()["findings"]["only_now"]
    assert (told["found_by"], told["of"], told["close"]) == (1, 2, 0.25)


def test_markdown_holds_names_that_look_like_markdown(before, now):
    def named(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["finding_id"] == "bat-171", "component_label"] = "a|b <img> *c* &lt;"
        return table

    before.findings(named)
    now.findings(lambda table: table[table["finding_id"] != "bat-171"])
    found = compared(before, now)
    assert "| a\\|b &lt;img> \\*c\\* &amp;lt; |" in markdown(title(found), sections(found, False))
    assert "<img>" not in html(title(found), sections(found, False))


def test_audits_are_paired_by_name(before, now):
    old, new = before.report(), now.report()
    assert paired({"a": old}, {"b": new}, None) == ([(old, new)], [])
    assert paired({"a": old, "b": old}, {"b": new, "c": new}, None) == ([(old, new)], ["a", "c"])
    assert paired({"a": old, "b": old}, {"b": new, "c": new}, "b") == ([(old, new)], [])
    with pytest.raises(PlaceError, match="no audit is at both"):
        paired({"a": old, "b": old}, {"c": new, "d": new}, None)
    with pytest.raises(PlaceError, match="no report of x"):
        paired({"a": old, "b": old}, {"c": new, "d": new}, "x")
