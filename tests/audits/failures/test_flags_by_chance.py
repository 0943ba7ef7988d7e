"""Error rates of flags where chance is all there is: at most those asked for."""

from dataclasses import replace

import numpy as np
import torch

from audits.failures.expectation import own_expectation
from audits.failures.flags import EXCESS, compare, find_flags
from audits.inputs import Inputs
from audits.reference.expected import reference
from tests.audits.failures.test_expectation import CONFIG, look

EVERY = CONFIG.model_copy(
    update={"candidate_deviations": 1e9, "unlike": -np.inf, "z": 1.0, "permutations": 1}
)
"""Every image of another class is a candidate, and all images can count."""
GROUP = 3
"""Images of a group, all alike."""


def alike(seed: int, own: int = 40, others: int = 50, components: int = 20) -> np.ndarray:
    """p-values of groups that a class and others are drawn from at random, all of them the same."""
    rng = np.random.default_rng(seed)
    units = own + others
    fires = rng.random((units, components)) < rng.uniform(0.1, 0.6, components)
    relevance = np.repeat(fires * rng.normal(0.2, 1.0, (units, components)), GROUP, axis=0)
    seen = look(relevance, [True] * own + [False] * others, np.arange(units).repeat(GROUP).tolist())
    found = compare(seen, own_expectation(seen, components), EVERY, rng)
    return found.p


def test_p_values_of_chance_are_not_too_small():
    p = np.concatenate([alike(seed) for seed in range(150)])
    assert len(p) > 2000
    for level in (0.01, 0.05, 0.1):
        assert (p <= level).mean() < level + 3 * np.sqrt(level * (1 - level) / len(p))
    assert (p <= 0.1).mean() > 0.02  # nor so large that nothing could be found


def regrouped(made: Inputs, seed: int) -> Inputs:
    """Images in groups that look all the same, of a class at random, for random prompts."""
    rng = np.random.default_rng(seed)
    texts = torch.from_numpy(rng.normal(size=(3, 18))).float()
    first = np.arange(len(made.images)) // GROUP * GROUP
    labels = rng.permutation(made.images["label"].to_numpy()[::GROUP]).repeat(GROUP)
    images = made.images.assign(label=labels, group_id=made.images["image_id"].iloc[first].tolist())
    rows = torch.from_numpy(first)
    return replace(
        made,
        images=images,
        x=made.x[rows],
        codes=type(made.codes)(*(part[rows] for part in made.codes)),
        texts={"short": texts / texts.norm(dim=1, keepdim=True)},
    )


def test_chance_flags_no_more_often_than_asked_for(invent):
    config = EVERY.model_copy(update={"min_images": 5})
    made, runs = invent(planted=False, train=60, val=3), 40
    flagged = 0
    for seed in range(runs):
        drawn = regrouped(made, seed)
        flags, _ = find_flags(drawn, *reference(drawn), config, seed)
        flagged += len(flags) > 0
    assert flagged <= runs * config.q + 3 * np.sqrt(runs * config.q * (1 - config.q))


def test_looks_alone_are_no_excess():
    """Candidates look unlike the class and own images do not, but relevance is the same."""
    flagged, runs = 0, 30
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        relevance = rng.exponential(size=(700, 12)) * (rng.random((700, 12)) < 0.15)
        seen = look(relevance, [True] * 100 + [False] * 600, list(range(700)))
        seen = seen._replace(unlike=seen.image >= 100)
        found = compare(seen, own_expectation(seen, 12), CONFIG, rng)
        flagged += any(flag.test == EXCESS and flag.p_value <= 0.05 / 24 for flag in found.flags)
    assert flagged <= runs * 0.05 + 3 * np.sqrt(runs * 0.05 * 0.95)
