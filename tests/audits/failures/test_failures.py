"""The stage failures: what it hands to the suggestion of modes."""

from dataclasses import replace

import numpy as np
import pytest

from audits.failures import __main__ as failures
from audits.failures.__main__ import along, suggester
from audits.failures.lexicon import Lexicon
from audits.failures.mode_evidence import Probe
from audits.failures.modes import Mode
from audits.reference.expected import reference
from pipeline.artifacts.gaps import DoesNotApply

DIRECTION = np.linspace(-1, 1, 24).astype(np.float32)


def test_classes_that_are_not_searched_are_named(inputs):
    failures.check_known(inputs, [], 0.2)
    with pytest.raises(DoesNotApply, match=r"names of 2 of 3 classes \(n01, n03\).*over 20%"):
        failures.check_known(inputs, ["n01", "n03"], 0.2)


def test_along_is_a_product(inputs, monkeypatch):
    wanted = inputs.x.numpy() @ DIRECTION
    monkeypatch.setattr(failures, "BLOCK_ROWS", 7)
    assert along(inputs, DIRECTION).tolist() == pytest.approx(wanted.tolist(), abs=1e-5)
    half = along(replace(inputs, x=inputs.x.half()), DIRECTION)
    assert half.tolist() == pytest.approx(wanted.tolist(), abs=0.02)


def test_a_suggestion_is_of_the_findings_images(permuted, monkeypatch):
    asked, said = [], Mode("unclear", 0.5, "no reason", ())
    monkeypatch.setattr(failures, "suggest_mode", lambda *about: asked.append(about) or said)
    probe = Probe(np.linspace(0, 1, 24), {(3, "n01"): 0.9}, DIRECTION, 0.5)
    table, classes = reference(permuted)
    suggest = suggester(permuted, table, classes, probe, {"wing": "context"}, Lexicon.of([]))
    train = permuted.split("train").numpy()
    ship = np.flatnonzero(train & (permuted.images["label"] == "n03").to_numpy())[:8]
    assert suggest("n01", 3, "wing", ship) == said
    ((evidence, _),) = asked
    assert [(s.label, s.share) for s in evidence.shown] == [("n03", 1.0)]
    assert evidence.name == "bat, small animal with wings"
    assert (evidence.component_label, evidence.own_word) == ("wing", 0.9)
    assert evidence.kinds == {"wing": "context"}
    # Component 3 fires on all images of n03, and on no others.
    assert (evidence.rate_own, evidence.rate_others) == (0.0, pytest.approx(0.5))
    # The smaller AUROC of two, against all other images and against the class's own.
    scores = (permuted.x.numpy() @ DIRECTION)[train]
    labels = permuted.images["label"].to_numpy()[train]
    mine = np.isin(np.flatnonzero(train), ship)
    against = [(scores[mine][:, None] > scores[rest]).mean() for rest in (~mine, labels == "n01")]
    assert evidence.writing_images == pytest.approx(min(against), abs=1e-6)
