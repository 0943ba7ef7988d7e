"""Images that come close to other classes, and classes that look alike."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch

from audits.failures import closeness as module
from audits.failures.closeness import (
    close_images,
    come_close,
    look_alikes,
    recognised,
    unknown,
)
from audits.inputs import Inputs
from pipeline.attribution.head import cosine_outputs
from tests.audits.failures.test_expectation import CONFIG

WIDE = CONFIG.model_copy(update={"candidate_deviations": 15.0, "peer_deviations": 20.0})


def scored(inputs: Inputs, y, label) -> Inputs:
    """Train images whose outputs [n, 3] are given: each text is an axis."""
    n = len(label)
    images = inputs.images.iloc[np.arange(n) % 60].reset_index(drop=True)
    images = images.assign(image_id=range(n), group_id=range(n))
    labels = np.array([*inputs.classes["label"], None], dtype=object)[np.array(label)]
    x = np.zeros((n, 24))
    x[:, :3] = y
    texts = {"short": torch.eye(18)[:3]}
    return replace(
        inputs, images=images.assign(label=labels), x=torch.from_numpy(x).float(), texts=texts
    )


@pytest.fixture
def plain(monkeypatch):
    """Outputs are the products of x and the texts, without a head."""
    monkeypatch.setattr(module, "cosine_outputs", lambda x, t, head: x[:, :18] @ t.T)


def test_every_candidate_has_a_row(inputs):
    found = close_images(inputs, "train", WIDE)
    table = come_close(inputs, found).to_pandas()
    ids = inputs.images["image_id"].to_numpy()
    assert len(table) == sum(map(len, found.candidates)) > 0
    for label, rows in zip(inputs.classes["label"], found.candidates, strict=True):
        assert table.loc[table["class"] == label, "image_id"].tolist() == ids[rows].tolist()


def test_an_image_is_taken_for_the_class_with_the_highest_output(inputs, plain):
    """0.4 for class 2 is the highest of its image, and far below what class 2's own images get."""
    own = [[0.9, 0, 0], [0.8, 0, 0], [0, 0.9, 0], [0, 0.8, 0], [0, 0, 0.9], [0, 0, 0.88]]
    others = [[0.3, 0.2, 0.4], [0.1, 0.1 + 1e-7, 0], [0.2, 0.6, 0.6]]
    made = scored(inputs, [*own, *others], [0, 0, 1, 1, 2, 2, 0, 0, 0])
    close = close_images(made, "train", CONFIG)
    assert [rows.tolist() for rows in close.taken] == [[], [8], [6]]
    assert 6 not in close.candidates[2]


def test_no_candidate_makes_no_row(inputs):
    none = close_images(inputs, "train", CONFIG)._replace(candidates=[np.zeros(0, dtype=int)] * 3)
    table = come_close(inputs, none)
    assert (table.num_rows, table.column_names) == (0, ["class", "image_id"])


def brute_force(inputs: Inputs, split: str, config) -> list[tuple[list[int], list[int]]]:
    """Own and other images that are close to each class, one image at a time."""
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head).double().numpy()
    there = inputs.split(split).numpy()
    label = inputs.class_index.numpy()
    found = []
    for c in range(len(inputs.classes)):
        mine = y[there & (label == c) & (y.argmax(axis=1) == c), c]
        assert len(mine) >= 5
        by = np.array([config.candidate_deviations, config.peer_deviations])
        high, least = mine.mean() - by * mine.std(ddof=1)
        own, candidates = [], []
        for row in np.flatnonzero(there & (label >= 0)):
            peers = y[there & (label == label[row]), c]
            middle = np.median(peers)
            spread = 1.4826 * np.median(np.abs(peers - middle))
            pushed = y[row, c] > max(middle + config.peer_deviations * spread, least)
            if label[row] == c and y[row, c] > high:
                own.append(int(row))
            elif label[row] != c and (y[row, c] > high or pushed):
                candidates.append(int(row))
        found.append((own, candidates))
    return found


@pytest.mark.parametrize("split", ["train", "val"])
def test_close_images_are_those_found_one_at_a_time(inputs, split):
    images = inputs.images.copy()
    images.loc[[6, 90, 92], "label"] = None
    made = replace(inputs, images=images)
    for config in (CONFIG, WIDE):
        found = close_images(made, split, config)
        wanted = brute_force(made, split, config)
        pairs = zip(found.own, found.candidates, strict=True)
        assert [(own.tolist(), near.tolist()) for own, near in pairs] == wanted
        assert found.split == split
    assert max(len(near) for _, near in wanted) > 20
    unlabelled = {6, 90, 92}
    assert not unlabelled & {row for sides in wanted for side in sides for row in side}


def test_rates_are_shares_of_a_class_that_score_as_high(inputs, plain):
    # The class's own y are 0.8, 0.7 and 0.6: as high is above 0.7 − 1.5 · 0.1 = 0.55.
    y = [[0.8, 0, 0], [0.7, 0, 0], [0.6, 0, 0], [0.56, 0.5, 0], [0.54, 0.5, 0.1], [0.6, 0.5, 0]]
    found = close_images(scored(inputs, y, [0, 0, 0, 1, 1, 1]), "train", CONFIG)
    assert found.rates[:, 0].tolist() == pytest.approx([1, 2 / 3, 0])
    assert found.own[0].tolist() == [0, 1, 2]
    assert found.candidates[0].tolist() == found.as_high[0].tolist() == [3, 5]


def test_images_pushed_beyond_their_peers_are_candidates(inputs, plain):
    own = [[0.8, 0, 0], [0.7, 0, 0], [0.6, 0, 0]]
    # As high is above 0.55, at least above 0.4. Peers: median 0.1, deviation 1.4826 · 0.01.
    peers = [[0.08, 0, 0.5], [0.09, 0, 0.6], [0.1, 0, 0.7], [0.11, 0, 0.5], [0.12, 0, 0.6]]
    pushed = [[0.45, 0, 0.5], [0.35, 0, 0.6]]
    made = scored(inputs, [*own, *peers, *pushed], [0] * 3 + [2] * 7)
    found = close_images(made, "train", CONFIG)
    assert found.candidates[0].tolist() == [8]
    assert found.rates[2, 0] == 0  # but it does not score as high
    assert found.as_high[0].tolist() == []
    assert close_images(
        made, "train", CONFIG.model_copy(update={"peer_deviations": 4.0})
    ).candidates[0].tolist() == [8, 9]  # above 0.3
    # Peers who all get as much are pushed nowhere.
    alike = scored(inputs, [*own, *[[0.45, 0, 0.5], [0.45, 0, 0.6]] * 3], [0] * 3 + [2] * 6)
    assert close_images(alike, "train", CONFIG).candidates[0].tolist() == []


def test_own_images_that_the_model_names_wrong_do_not_sink_the_limits(inputs, plain):
    # Of the six named right the mean is 0.7 and the deviation 0.0283: as high is above 0.658.
    own = [[y, 0, 0] for y in (0.66, 0.68, 0.7, 0.7, 0.72, 0.74)] + [[0.67, 0.8, 0], [0.1, 0, 0.3]]
    others = [[y, 0, 0.9] for y in (0.66, 0.65, 0.1, 0.1, 0.1)]
    made = scored(inputs, own + others, [0] * 8 + [2] * 5)
    found = close_images(made, "train", CONFIG)
    assert found.as_high[0].tolist() == [8]
    assert found.own[0].tolist() == [0, 1, 2, 3, 4, 5, 6]  # one that is named wrong is as high
    # Where no more than a share are named right all eight count, and the limit is 0.293.
    strict = CONFIG.model_copy(update={"class_share": 0.75})
    assert close_images(made, "train", strict).as_high[0].tolist() == [8, 9]


def test_two_classes_of_one_name_are_both_recognised(inputs):
    y = np.array([[0.9, 0.9 + 1e-7, 0.1], [0.8, 0.8, 0.9], [0.7, 0.7, 0.2]])
    for position in (0, 1):
        assert recognised(y, position, share=0.6).tolist() == pytest.approx([0.9, 0.7])
        assert len(recognised(y, position, share=0.67)) == 3
    assert recognised(y, 2, share=0.1).tolist() == [0.1, 0.9, 0.2]  # one is named right


def test_the_examples_are_true():
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


def test_nothing_is_close_to_a_class_of_one_image_or_none(inputs, plain):
    y = [[0.8, 0.9, 0.1], [0.7, 0.9, 0.2], [0.9, 0.5, 0.3]]
    found = close_images(scored(inputs, y, [0, 0, 1]), "train", CONFIG)
    assert [rows.tolist() for rows in found.candidates] == [[2], [], []]
    assert [rows.tolist() for rows in found.own] == [[0, 1], [], []]
    assert found.rates[:, 1:].tolist() == [[0, 0], [0, 0], [0, 0]]


def test_blocks_of_close_images_do_not_matter(inputs, monkeypatch):
    whole = close_images(inputs, "train", WIDE)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    parts = close_images(inputs, "train", WIDE)
    assert parts.rates.tolist() == whole.rates.tolist()
    for side in ("own", "candidates"):
        found = [rows.tolist() for rows in getattr(whole, side)]
        assert [rows.tolist() for rows in getattr(parts, side)] == found
        assert min(map(len, found)) > 7


def test_classes_look_alike_where_likeness_is_mutual():
    rates = np.array([[0.9, 0.3, 0.0, 0.1], [0.4, 0.9, 0.5, 0.1], [0.6, 0.0, 0.9, 0.0], [0.2] * 4])
    # Of class 0 come 0.3 close to 1, of class 1 0.4 to 0: mutual by 0.75, seen from either side.
    # 0 → 2 and 1 → 2 are one-way. Of 3 come twice as many to 0 and 1 as of these to it.
    wanted = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]]
    assert look_alikes(rates, 0.667).astype(int).tolist() == wanted
    assert look_alikes(rates, 0.5)[0].tolist() == [False, True, False, True]
    assert look_alikes(rates, 0.8)[:2].astype(int).tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]


def test_a_name_is_unknown_where_most_other_classes_come_close():
    rates = np.array([[0.9, 0.3, 0.0, 0.2], [0.4, 0.9, 0.3, 0.2], [0.6, 0.1, 0.9, 0.2], [0.0] * 4])
    # Over 0.2: two of three others come to 0, one each to 1 and 2, none to 3.
    assert unknown(rates, 0.2).tolist() == [True, False, False, False]
    assert unknown(rates, 0.5).tolist() == [False] * 4
    # One of two others is no more than half, and one other class cannot tell.
    assert unknown(rates[:3, :3], 0.45).tolist() == [False] * 3
    assert unknown(np.ones((2, 2)), 0.2).tolist() == [False, False]
