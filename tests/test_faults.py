"""Kills of a small `dvc repro`: what is half written is never taken for whole."""

import shutil

import numpy as np
import pytest
import yaml

from benchmarks.faults import dies_writing, outputs, repro
from pipeline.artifacts.resume import discard, kept
from pipeline.artifacts.store import half_written

AT_RANDOM = "sample@lesions"
MID_WRITE = {
    "embed@lesions-tiny": ("pipeline.embeddings.embed", 2),
    "train_sae@lesions-tiny": ("pipeline.sae.train_sae", 2),
    "perturb@lesions-tiny": ("pipeline.embeddings.perturb", 3),
}
"""Stage → what it runs, and the number of the file in the middle of whose writing it is killed."""


@pytest.mark.slow
def test_a_killed_workflow_ends_as_one_left_in_peace(repository, tmp_path, monkeypatch):
    folder = shutil.copytree(repository, tmp_path / "killed", symlinks=True)
    wanted = outputs(repository)
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
    for stage in (AT_RANDOM, *MID_WRITE):
        del lock["stages"][stage]
        for path in wanted[stage]:
            shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    due = {AT_RANDOM: [float(np.random.default_rng(0).uniform(0, 1))]}
    repro(folder, tuple(MID_WRITE), due)
    assert due == {AT_RANDOM: []}
    for stage, (module, write) in MID_WRITE.items():
        assert dies_writing(folder, (stage,), module, write), stage
    repro(folder, tuple(MID_WRITE), {})
    found = outputs(folder)
    for stage in (AT_RANDOM, *MID_WRITE):
        assert found[stage] == wanted[stage]
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert all(map(discard, kept()))
    assert half_written(folder) == []
