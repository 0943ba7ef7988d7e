"""What another dictionary sees of an audit."""

import numpy as np
import pytest
import torch

from audits.recurrence.__main__ import search, seen_by
from audits.recurrence.again import Finding
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import load_params
from pipeline.sae.model import Sae


@pytest.fixture
def sae(inputs):
    """Another dictionary: the audit's atoms in reverse, and as encoder."""
    atoms = inputs.atoms.flip(0)
    made = Sae(*atoms.shape, slots=inputs.codes.component.shape[1])
    with torch.no_grad():
        made.atoms.copy_(atoms)
        made.encoder_weight.copy_(atoms)
    return made.requires_grad_(False)


def test_only_what_it_has_seen_counts(inputs, sae):
    seen = np.arange(len(inputs.images)) % 3 == 0
    theirs = seen_by(inputs, sae, seen)
    assert (theirs.split("train").numpy() == seen).all()
    assert not theirs.split("val").any()
    assert torch.equal(theirs.atoms, inputs.atoms.flip(0))
    rows = torch.from_numpy(np.flatnonzero(seen))
    codes = sae.encode(inputs.tokens(rows))
    assert torch.equal(theirs.codes.activation[rows], codes.activation)
    assert torch.equal(theirs.codes.component[rows].long(), codes.component)
    assert not theirs.codes.activation[torch.from_numpy(~seen)].any()


def test_a_flag_takes_as_many_images_as_its_share(inputs, sae, request, monkeypatch):
    config = load_params(request.config.rootpath / "params.yaml").audits["scenes-tiny"].failures
    asked = []

    def spy(theirs, table, classes, config, seed):
        asked.append((config.min_images, config.min_class_images))
        return [], None

    monkeypatch.setattr("audits.recurrence.__main__.find_flags", spy)
    train = inputs.split("train").numpy()
    for seen in (train, train & (train.cumsum() % 2 == 0)):
        search(inputs, sae, seen, [], config, 0, 1)
    assert asked == [(10, 5), (5, 5)]


def test_too_few_images_say_so(inputs, sae, request):
    config = load_params(request.config.rootpath / "params.yaml").audits["scenes-tiny"].failures
    seen = np.arange(len(inputs.images)) < 2
    with pytest.raises(DoesNotApply):
        search(inputs, sae, seen, [Finding(0, np.arange(3))], config, 0, 1)
