"""What counts on an image, and how often: by hand."""

from dataclasses import replace

import numpy as np

from audits.failures.counting import (
    CARRIER,
    EXCESS,
    STAND_IN,
    Counts,
    carriers,
    counts_of,
    firing_units,
    hits,
    tally,
)
from tests.audits.failures.test_expectation import CONFIG, look
from tests.conftest import PLANTED


def test_hits_by_hand():
    # Component 0 carries the class, 1 and 2 do not; the deviation is the floor, 0.1.
    relevance = [[0.36, 0, 0], [0.34, 0.31, 0], [0.6, 0.29, 0], [0, 0, -0.1], [0.71, 0, 0.02]]
    seen = look(relevance, range(5), [1] * 5)
    mean = np.array([0.5, 0.0, 0.24])
    z = (seen.relevance - mean[seen.component]) / 0.1
    found = hits(seen, z, mean, CONFIG)

    def at(slots):
        return list(zip(seen.image[slots].tolist(), seen.component[slots].tolist(), strict=True))

    assert at(found[EXCESS]) == [(1, 1)]
    assert at(found[STAND_IN]) == [(0, 0), (2, 0), (4, 0)]
    assert at(found[CARRIER]) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (4, 0), (4, 2)]
    more = hits(seen, z, mean, CONFIG.model_copy(update={"mainstay": 0.4}))
    # −0.1 is above 0.24 less a wide margin, but speaks against the prompt.
    assert at(more[STAND_IN]) == [(0, 0), (2, 0), (4, 0)]
    wide = CONFIG.model_copy(update={"mainstay": 0.4, "candidate_deviations": 4.0})
    assert at(hits(seen, z, mean, wide)[STAND_IN]) == [(0, 0), (1, 0), (2, 0), (4, 0), (4, 2)]


def test_carriers_by_hand():
    """Images of the class, of 1, of 2 and of 3; the last, of 1, is far."""
    relevance = [[9, 0, 0], [1, 0.4, 0], [1, 0.4, 0.9], [0, -1, 0.1], [0, 2, 0.5], [5, 0, 7]]
    close = [True] * 5 + [False]
    seen = look(relevance, range(6), [0, 1, 1, 2, 3, 1], close)
    found = carriers(seen, 3, mainstay=0.4)
    # Σ over close images: of 1 2, 0.8 and 0.9; of 2 0, −1 and 0.1; of 3 0, 2 and 0.5.
    assert found.astype(int).tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 0]]
    assert not carriers(seen._replace(close=np.zeros(6, dtype=bool)), 3, 0.4).any()


def test_a_class_that_nothing_carries_has_no_stand_in():
    seen = look([[0.3, 0.2], [0.1, 0.4]], range(2), [1, 1])
    for mean in (np.zeros(2), np.array([-0.3, -0.1])):
        assert len(hits(seen, seen.relevance, mean, CONFIG)[STAND_IN]) == 0


def test_units_are_counted_once():
    #          unit 0, own            | 1, of 3  | 2, of 1              | 3, of 3  | 4, own
    relevance = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1]]
    close = [True, True, True, False, True, False, True]
    seen = look(relevance, [0, 0, 1, 2, 2, 3, 4], [0, 3, 1, 3, 0], close)
    found = tally(seen, np.arange(len(seen.image)), 4)
    assert found.labels.tolist() == [1, 3]
    assert (found.units.tolist(), found.close.tolist()) == ([1, 2], [1, 1])
    assert found.hits.tolist() == [[1, 1, 1, 0], [1, 2, 2, 0]]
    # Of unit 2 one image is close, and on it only what fires on this image counts.
    assert found.both.tolist() == [[1, 0, 1, 0], [1, 1, 1, 0]]
    assert (found.own_hits.tolist(), found.own) == ([1, 1, 1, 0], 2)
    every = np.array([True, True])
    assert counts_of(found, 1, every) == Counts(1, 2, 1, 2, 2, 1)
    assert counts_of(found, 2, every) == Counts(1, 2, 2, 2, 1, 1)
    assert counts_of(found, 2, np.array([False, True])) == Counts(1, 2, 1, 1, 1, 1)
    some = tally(seen, np.flatnonzero(seen.image == 4), 4)
    assert some.hits.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_firing_units_are_groups_of_a_class(inputs):
    images = inputs.images.copy()
    images.loc[[90, 92, 94, 0], "group_id"] = "one"
    firing, units = firing_units(replace(inputs, images=images), "train")
    assert units.tolist() == [60, 58, 60]
    assert firing[:, PLANTED].tolist() == [0, 28, 0]
    assert [firing[c, c + 1] for c in range(3)] == [60, 58, 60]
    codes = inputs.codes
    fires = ((codes.component == 7) & (codes.activation > 0)).any(dim=1).numpy()
    assert firing[2, 7] == fires[180:240].sum()
