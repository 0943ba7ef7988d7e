"""Error rates of flags where chance is all there is: at most those asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audits.failures.counting import CARRIER, EXCESS, STAND_IN
from audits.failures.flags import find_flags
from audits.failures.strikes import compare, prepare
from audits.reference.expected import reference
from benchmarks.calibration import exchanged, inject
from tests.audits.failures.test_expectation import CONFIG, look, usual
from tests.audits.failures.test_strikes import firing_of

LOOSE = CONFIG.model_copy(update={"z": 0.5, "min_images": 5, "min_class_images": 3})
GROUP = 2
"""Images of a unit, all alike."""

NONE = np.zeros((3, 3), dtype=bool)


def by_chance(seed: int, config=LOOSE) -> dict[str, object]:
    """Both tests where components fire as it comes, and images come close as it comes.

    Classes differ in how many of their units come close, one does nearly as a whole.
    """
    rng = np.random.default_rng(seed)
    label = np.repeat([0, 1, 2, 3], [30, 25, 40, 20])
    fires = rng.random((len(label), 12)) < rng.uniform(0.1, 0.6, 12)
    relevance = fires * rng.exponential(0.3, (len(label), 12))
    close = rng.random(len(label)) < np.array([1, 0.2, 0.4, 0.9])[label]
    seen = look(
        np.repeat(relevance, GROUP, axis=0),
        np.arange(len(label)).repeat(GROUP),
        label,
        close.repeat(GROUP),
    )
    tests, own = firing_of(seen, 12, 4), relevance[label == 0]
    found = compare(seen, usual(own, floor=0.1), tests, config, rng)
    return {each.test: each for each in found}


def test_p_values_of_chance_are_not_too_small():
    runs = [by_chance(seed) for seed in range(60)]
    for test in (EXCESS, STAND_IN, CARRIER):
        p = np.concatenate([run[test].p for run in runs])
        assert len(p) > 500
        for level in (0.02, 0.05, 0.1, 0.3):
            noise = 3 * np.sqrt(level * (1 - level) / len(p))
            assert (p <= level).mean() <= level + noise
        assert (p <= 0.3).mean() > 0.01  # nor so large that nothing could be found


@pytest.mark.parametrize(("test", "q"), [(STAND_IN, 0.2), (CARRIER, 0.9)])
def test_strikes_of_chance_are_as_many_as_permutations_expect(test, q):
    # No class is close as a whole, and what own images do as often is not permuted.
    config = LOOSE.model_copy(update={"class_share": 1 - 1e-6, "q": q, "permutations": 10})
    runs = [by_chance(seed, config)[test] for seed in range(90)]
    found = sum(len(run.strikes) for run in runs)
    expected = sum(len(draw) for run in runs for draw in run.permuted) / config.permutations
    assert expected > 15
    assert abs(found - expected) < 3 * np.sqrt(expected)


def test_a_component_that_fires_at_random_is_not_flagged(inputs):
    """Relevant for a class wherever it fires, as much as the class's strongest component."""
    hit, runs = 0, 6
    for seed in range(runs):
        drawn = inject(inputs, 0.3, np.random.default_rng(seed))
        tests = prepare(drawn, "train", NONE, CONFIG)
        flags = find_flags(drawn, *reference(drawn), tests, CONFIG, seed).flags
        hit += sum(flag.component == 24 + flag.position for flag in flags)
        assert any(flag.component == 23 for flag in flags)  # the plant still is
    assert hit <= 1  # of 18


def test_an_injected_component_is_as_relevant_everywhere(inputs):
    drawn = inject(inputs, 0.3, np.random.default_rng(0))
    table, classes = reference(drawn)
    for position, label in enumerate(inputs.classes["label"]):
        mine = table[table["class"] == label].set_index("component")
        images = int(classes.set_index("class").loc[label, "images"])
        fires = mine.loc[24 + position, "count"] / images
        assert 0.1 < fires < 0.5
        largest = mine["mean"].reindex(range(1, 4), fill_value=0.0).max()
        assert mine.loc[24 + position, "mean"] == pytest.approx(largest * fires / 0.3, rel=1e-3)
    assert torch.equal(drawn.x, inputs.x)


def test_exchanged_closeness_keeps_its_numbers(inputs):
    images = inputs.images.copy()
    images.loc[90:99, "group_id"] = "one"
    made = replace(inputs, images=images)
    tests = prepare(made, "train", NONE, CONFIG)
    drawn = exchanged(made, tests, np.random.default_rng(0))
    for before, after in zip(tests.close.candidates, drawn.close.candidates, strict=True):
        units = [
            images.iloc[rows].groupby("label")["group_id"].nunique().to_dict()
            for rows in (before, after)
        ]
        assert units[0] == units[1]
    assert set(tests.close.candidates[0]) != set(drawn.close.candidates[0])
