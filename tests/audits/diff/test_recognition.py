"""Findings recognised by atoms, where the stage `review` of both reports is in the cache."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from audits.diff import recognition
from audits.diff.recognition import recognise
from audits.review.component_files import PRESENT, Components, write_components
from pipeline.config import ReviewConfig
from tests.audits.diff.copies import AUDIT

CONFIG = ReviewConfig(cosine=0.7, images=0.5)
FOLDER = f"data/audits/{AUDIT}/review"


@pytest.fixture
def cached(before, now, tmp_path, monkeypatch):
    """Both reports, of one dictionary in two orders, their images all different."""
    monkeypatch.chdir(tmp_path)
    atoms = np.eye(256, dtype=np.float16)
    files, reports = {}, []
    for digest, copied, order in (("a.dir", before, 1), ("b.dir", now, -1)):
        report = copied.report()
        table = report.findings
        if order < 0:  # component j is now 255 − j
            table = table.assign(component=255 - table["component"])
            table = table.assign(finding_id=table["class"] + "-" + table["component"].astype(str))
        table = table.assign(example_ids=[f"{digest}{i}" for i in range(len(table))])
        path = tmp_path / PRESENT
        write_components(path, Components(np.arange(256, dtype=np.int32), atoms[::order], 256))
        evidence = {
            row["finding_id"]: {"images": [row["example_ids"]], "components": [row["component"]]}
            for row in table.to_dict("records")
        }
        files[digest] = {
            "findings.csv": digest.encode(),
            "evidence.json": json.dumps(evidence).encode(),
            PRESENT: path.read_bytes(),
        }
        origin = {"dvc_lock": {FOLDER: digest, f"data/saes/{AUDIT}": digest}}
        reports.append(
            replace(report, findings=table, findings_file=digest.encode(), provenance=origin)
        )
    monkeypatch.setattr(recognition, "_cached", lambda digest: files.get(digest, {}))
    return files, reports


def test_atoms_tell_whatever_numbers_and_images_say(cached):
    _, (before, now) = cached
    found = recognise(before, now, CONFIG)
    assert (found.new, found.fixed, found.sure) == ([], [], True)
    assert {one.by for one in found.persisting} == {"atom"}
    for one in found.persisting:
        assert one.before["component"] == 255 - one.now["component"]


def test_a_review_of_other_findings_is_not_taken(cached):
    files, (before, now) = cached
    files["b.dir"]["findings.csv"] = b"other"
    found = recognise(before, now, CONFIG)
    assert not found.sure
    assert len(found.new) == len(now.findings)


def test_what_a_further_dictionary_finds_has_neither_come_nor_gone(cached, tmp_path):
    files, (before, now) = cached
    kept = now.findings.iloc[2:]
    evidence = json.loads(files["b.dir"]["evidence.json"])
    files["b.dir"]["evidence.json"] = json.dumps(
        {finding_id: evidence[finding_id] for finding_id in kept["finding_id"]}
    ).encode()
    first, second = before.findings.iloc[0], before.findings.iloc[1]
    theirs = pd.DataFrame(
        {
            "dictionary": np.array([1, 2, 2], dtype=np.int32),
            # The first's images twice, the second's of another class.
            "class": [first["class"], first["class"], "no class"],
            "image_ids": [[first["example_ids"]], [first["example_ids"]], [second["example_ids"]]],
        }
    )
    theirs.to_parquet(tmp_path / "found.parquet")
    files["c.dir"] = {"found.parquet": (tmp_path / "found.parquet").read_bytes()}
    lock = now.provenance["dvc_lock"] | {f"data/audits/{AUDIT}/recurrence": "c.dir"}
    now = replace(now, findings=kept, provenance=now.provenance | {"dvc_lock": lock})
    found = recognise(before, now, CONFIG)
    assert [row["finding_id"] for row in found.fixed] == [second["finding_id"]]
    assert [(one.row["finding_id"], one.found_by, one.of) for one in found.only_before] == [
        (first["finding_id"], 2, now.metrics["recurrence.runs"])
    ]
    assert (found.new, found.only_now) == ([], [])
    assert found.unknown == [before.place, now.place]
    # And the other way round.
    found = recognise(now, before, CONFIG)
    assert [row["finding_id"] for row in found.new] == [second["finding_id"]]
    assert [one.row["finding_id"] for one in found.only_now] == [first["finding_id"]]


@pytest.fixture
def lost(cached):
    """Both reports, of which the second lacks one finding of 20 images and is of one dictionary
    with the first, and what sets the images that come close in the second."""
    files, (before, now) = cached
    row = before.findings.iloc[0]
    images = [f"image {number}" for number in range(20)]
    for digest in ("a.dir", "b.dir"):
        evidence = json.loads(files[digest]["evidence.json"])
        if digest == "a.dir":
            evidence[row["finding_id"]]["images"] = images
        else:
            del evidence[now.findings.iloc[0]["finding_id"]]
        files[digest]["evidence.json"] = json.dumps(evidence).encode()
    lock = {f"data/audits/{AUDIT}/failures": "close.dir", f"data/saes/{AUDIT}": "a.dir"}
    origin = {"dvc_lock": now.provenance["dvc_lock"] | lock}
    now = replace(now, findings=now.findings.iloc[1:], provenance=origin)

    def come_close(count, label=row["class"]):
        table = pd.DataFrame({"class": label, "image_id": [*images[:count], "another"]})
        files["close.dir"] = {"close.parquet": table.to_parquet(index=False)}
        return recognise(before, now, CONFIG), recognise(now, before, CONFIG)

    return row["finding_id"], come_close


@pytest.mark.parametrize("count", [0, 4])
def test_what_does_not_come_close_any_more_is_fixed(lost, count):
    finding_id, come_close = lost
    there, back = come_close(count)
    assert [row["finding_id"] for row in there.fixed] == [finding_id]
    assert [row["finding_id"] for row in back.new] == [finding_id]
    assert (there.only_before, back.only_now) == ([], [])


@pytest.mark.parametrize("count", [6, 20])  # Wilson's upper limit of 6 of 20 is 0.52
def test_what_still_comes_close_is_not_fixed_though_no_audit_finds_it(lost, count):
    finding_id, come_close = lost
    there, back = come_close(count)
    assert (there.fixed, back.new) == ([], [])
    for (one,) in (there.only_before, back.only_now):
        assert (one.row["finding_id"], one.found_by, one.of) == (finding_id, 0, 0)
        assert one.close == count / 20


def test_coming_close_to_another_class_is_another_failure(lost):
    finding_id, come_close = lost
    there, _ = come_close(20, label="no class")
    assert [row["finding_id"] for row in there.fixed] == [finding_id]


def test_all_images_of_a_finding_count_and_not_the_strongest_alone(cached, tmp_path):
    files, (before, now) = cached
    shared = {"a.dir": range(300), "b.dir": range(150, 300)}
    for digest, numbers in shared.items():
        evidence = json.loads(files[digest]["evidence.json"])
        for place, about in enumerate(evidence.values()):
            about["images"] = [f"{place}-{number}" for number in numbers]
        files[digest]["evidence.json"] = json.dumps(evidence).encode()
    # Atoms of another width, as another model has them, say nothing.
    path = tmp_path / "wide.parquet"
    wide = np.eye(256, 300, dtype=np.float16)
    write_components(path, Components(np.arange(256, dtype=np.int32), wide, 256))
    files["b.dir"][PRESENT] = path.read_bytes()
    found = recognise(before, now, ReviewConfig(cosine=0.7, images=0.9))
    assert {one.by for one in found.persisting} == {"images"}
    assert (found.new, found.fixed) == ([], [])
