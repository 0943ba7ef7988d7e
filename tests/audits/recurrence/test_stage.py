"""What another dictionary sees of an audit."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from audits.failures.flags import ByChance, Search
from audits.recurrence.__main__ import main, search, seen_by
from audits.recurrence.again import Finding, Run
from pipeline.config import load_params
from pipeline.sae.model import Sae

NONE = np.zeros((3, 3), dtype=bool)
"""No class has the word of another in its name."""


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

    def spy(theirs, table, classes, tests, config, seed):
        asked.append((config.min_images, config.min_class_images))
        return Search([], ByChance(None, None), [])

    monkeypatch.setattr("audits.recurrence.__main__.find_flags", spy)
    train = inputs.split("train").numpy()
    for seen in (train, train & (train.cumsum() % 2 == 0)):
        search(inputs, sae, seen, [], NONE, config, 0, 1)
    assert asked == [(10, 5), (5, 5)]


def test_among_too_few_images_nothing_is_found_again(inputs, sae, request):
    config = load_params(request.config.rootpath / "params.yaml").audits["scenes-tiny"].failures
    seen = np.arange(len(inputs.images)) < 2
    found = search(inputs, sae, seen, [Finding(0, np.arange(3))], NONE, config, 0, 1)
    assert found.again.tolist() == [False] and found.found == []


def test_each_dictionary_searches_its_half_and_all_images(inputs, monkeypatch, tmp_path):
    module = "audits.recurrence.__main__"
    train = inputs.split("train").numpy()
    written = {}

    def search(_inputs, _sae, seen, own, _compounds, _config, _seed, number):
        on_all = np.array([seen.sum() == train.sum()])
        found = [Finding(0, np.flatnonzero(seen)[:2])]
        return Run(number, on_all, np.zeros(len(own)), np.zeros(len(own)), on_all, found)

    audit = SimpleNamespace(failures=None, modes=SimpleNamespace(wordnet=None))
    made = {
        "begin": lambda _: (
            "a",
            SimpleNamespace(seed=0, audit=lambda _: audit),
        ),
        "load_inputs": lambda *_: inputs,
        "findings": lambda *_: (["f"], [Finding(0, np.arange(3))], np.array([True])),
        "search": search,
        "read_json": lambda _: {"numbers": [1, 2]},
        "write_table": lambda path, table: written.update({path.name: table}),
        "files.load": lambda _: None,
    }
    for name, value in made.items():
        monkeypatch.setattr(f"{module}.{name}", value)
    monkeypatch.chdir(tmp_path)
    main()
    row = written["findings.csv"].iloc[0]
    assert (row["recurrence"], row["recurrence_all_images"]) == (0, 1)
    first = inputs.images["image_id"][np.flatnonzero(train)[:2]].tolist()
    assert written["found.parquet"]["image_ids"].tolist() == [first, first]
