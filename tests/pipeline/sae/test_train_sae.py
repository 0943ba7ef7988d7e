"""Which checkpoints a training goes on with."""

from pathlib import Path

import pytest

from pipeline.config import load_params
from pipeline.sae import train_sae
from pipeline.sae.train_sae import settled, training_key

AUDIT = "scenes-tiny"


@pytest.fixture
def params(monkeypatch):
    """The shipped ones; files are the same throughout."""
    monkeypatch.setattr(train_sae, "content_hash", lambda paths: "the same files")
    return load_params(Path(__file__).parents[3] / "params.yaml")


def with_device(params, device):
    audit = params.audits[AUDIT]
    changed = audit.model_copy(update={"sae": audit.sae.model_copy(update={"device": device})})
    return params.model_copy(update={"audits": {AUDIT: changed}})


def test_checkpoints_of_another_device_are_not_used(params, monkeypatch):
    auto, cuda = with_device(params, "auto"), with_device(params, "cuda")
    keys = []
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(train_sae, "pick_device", lambda wanted, key, device=device: device)
        assert settled(auto.audits[AUDIT].sae).device == device
        keys.append(training_key(AUDIT, auto))
    assert keys[0] != keys[1]
    assert training_key(AUDIT, cuda) == keys[1]
