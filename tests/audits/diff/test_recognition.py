"""Findings recognised by atoms, where the stage `review` of both reports is in the cache."""

import json
from dataclasses import replace

import numpy as np
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
