"""The probe, on codes and embeddings made to have known answers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from audits.probe.answers import (
    LEAST,
    NO_WORD,
    Plan,
    Words,
    answers,
    choose_words,
    direction,
    directions,
    embed_pictures,
    pictures,
    plan,
    reliability,
    separation,
    word_table,
)
from audits.probe.writing import blank, grounds
from pipeline.attribution.relevance import Codes
from pipeline.config import EmbedConfig, ProbeConfig
from pipeline.models.catalog import load_clip

CONFIG = ProbeConfig(words=5, controls=2, pictures=1000, grounds=4, marks=3, answer=0.9)
SHORT = {"n1": "bat", "n2": "Sale", "n3": "bat", "n4": "犬", "n5": "hot dog"}


def config(**changed):
    return CONFIG.model_copy(update=changed)


def test_words_are_written_once_and_controls_are_no_class():
    words = choose_words(SHORT, CONFIG, np.random.default_rng(0))
    assert words.of_class == {"n1": "bat", "n2": "Sale", "n3": "bat", "n5": "hot dog"}
    assert words.written == ["bat", "Sale", "hot dog", "open", "exit"]
    assert words.left_out == 1


def test_of_too_many_classes_some_are_drawn():
    many = {f"n{i}": f"thing {i}" for i in range(40)}
    drawn = [choose_words(many, CONFIG, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert (len(drawn[0].of_class), drawn[0].left_out, len(drawn[0].written)) == (5, 35, 7)


def test_a_word_needs_another_to_compare_with():
    with pytest.raises(ValueError, match=r"raise probe\.controls"):
        choose_words({"n1": "bat"}, config(controls=0), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("words", "budget", "each"), [(7, 28, 4), (7, 1000, 4), (9, 30, 3), (50, 1, LEAST), (2, 1, 4)]
)
def test_words_are_spread_over_grounds(words, budget, each):
    planned = plan(words, config(pictures=budget))
    has_word = planned.word != NO_WORD
    assert np.bincount(planned.word[has_word]).tolist() == [each] * words
    pairs = set(zip(planned.word[has_word], planned.ground[has_word], strict=True))
    assert len(pairs) == words * each
    by_ground = np.bincount(planned.ground[has_word], minlength=4)
    assert by_ground.min() >= 2
    assert np.ptp(by_ground) <= 1
    assert np.bincount(planned.ground[~has_word]).tolist() == [4] * 4  # 3 marked, 1 blank


def test_pictures_follow_the_plan():
    rng = np.random.default_rng(2)
    places = grounds(4, rng)
    planned = plan(3, CONFIG)
    shown = list(pictures(["bat", "dog", "ship"], places, planned, rng))
    assert len(shown) == len(planned.word) == 3 * 4 + 4 * 4
    for picture, word, ground in zip(shown, planned.word, planned.ground, strict=True):
        differs = (np.array(picture) != np.array(blank(places[ground]))).any()
        assert differs or word == NO_WORD
    empty = [np.array_equal(shown[12 + 4 * g], blank(places[g])) for g in range(4)]
    assert empty == [True] * 4


@pytest.fixture
def planned():
    """5 words on 4 grounds, and 2 bare pictures each."""
    return plan(5, config(marks=1))


def codes_of(dense):
    """Codes with 3 slots of activations [n, m]."""
    activation, component = torch.from_numpy(dense).float().topk(3, dim=1)
    return Codes(component.masked_fill(activation == 0, 0), activation)


def test_components_that_answer_to_writing_and_to_a_word(planned):
    has_word = planned.word != NO_WORD
    dense = np.zeros((len(has_word), 6))
    dense[has_word, 1] = 2.0
    dense[~has_word, 2] = 2.0
    dense[planned.word == 3, 4] = 1.0
    found = answers(codes_of(dense), 6, planned)
    assert found.writing.tolist() == pytest.approx([0.5, 1.0, 0.0, 0.5, 0.6, 0.5])
    assert found.fires.tolist() == [1, 2, 4]
    assert found.to_word[:, 2].tolist() == pytest.approx([0.375, 0.375, 0.375, 1.0, 0.375])
    assert found.to_word[:, 0].tolist() == pytest.approx([0.5] * 5)


def test_answers_are_aurocs_within_grounds():
    """Brightness of the ground must not count: it is added to all activations of a ground."""
    rng = np.random.default_rng(0)
    planned = plan(9, config(pictures=30))
    noise = rng.integers(1, 9, (len(planned.word), 3)).astype(float)
    has_word = planned.word != NO_WORD
    expected = [
        np.mean([roc_auc_score(has_word[at], noise[at, j]) for at in at_of(planned)])
        for j in range(3)
    ]
    brighter = noise + 20 * planned.ground[:, None]
    assert answers(codes_of(brighter), 3, planned).writing == pytest.approx(expected)
    against = [at[has_word[at]] for at in at_of(planned)]
    of_word = [at for at in against if 4 in planned.word[at]]
    answer = [roc_auc_score(planned.word[at] == 4, noise[at, 1]) for at in of_word]
    found = answers(codes_of(brighter), 3, planned).to_word[4, 1]
    assert found == pytest.approx(np.mean(answer))


def at_of(planned: Plan):
    return [np.flatnonzero(planned.ground == ground) for ground in range(4)]


def test_the_table_of_words_has_a_row_for_each_class():
    planned = plan(5, CONFIG)
    dense = np.zeros((len(planned.word), 4))
    dense[planned.word == 0, 3] = 1.0
    dense[planned.word == 4, 1] = 1.0  # a control
    words = Words({"n3": "bat", "n1": "bat", "n2": "Sale"}, ["bat", "Sale", "a", "b", "c"], 0)
    table = word_table(words, answers(codes_of(dense), 4, planned), 0.9)
    assert table.to_dict("list") == {"component": [3, 3], "class": ["n1", "n3"], "answer": [1, 1]}
    assert len(word_table(words, answers(codes_of(dense), 4, planned), 1.01)) == 0


def embedded(planned, strength, seed=0, width=30):
    """Noise, a shift for each ground, and along the first axis what writing adds."""
    rng = np.random.default_rng(seed)
    x = 0.2 * rng.normal(size=(len(planned.word), width))
    x += 5 * rng.normal(size=(4, width))[planned.ground]
    x[planned.word != NO_WORD, 0] += strength
    return torch.from_numpy(x).float()


def test_the_direction_of_writing_is_found_whatever_the_ground(planned):
    x = embedded(planned, strength=2.0)
    by_ground = directions(x, planned)
    assert by_ground.shape == (4, 30)
    assert direction(by_ground)[0] > 0.95
    assert np.linalg.norm(direction(by_ground)) == pytest.approx(1)
    assert reliability(by_ground) > 0.95
    assert separation(x, planned, by_ground) == pytest.approx(1)


def test_without_writing_to_be_seen_the_direction_is_unreliable():
    planned = plan(60, CONFIG)
    found = []
    for seed in range(8):
        x = embedded(planned, strength=0.0, seed=seed)
        by_ground = directions(x, planned)
        found.append((reliability(by_ground), separation(x, planned, by_ground)))
    assert np.mean(found, axis=0) == pytest.approx([0.0, 0.5], abs=0.2)


def test_reliability_by_hand():
    # r = (‖(2, 1)‖² − 3)/(1 · 3) = 2/3, 2r/(1 + r) = 4/5
    assert reliability(np.array([[1.0, 1.0], [1.0, 0.0]])) == pytest.approx(0.8)
    assert reliability(np.array([[1.0, 0.5], [-1.0, 0.0]])) == 0.0


def test_a_model_that_sees_no_difference_is_an_error(planned):
    x = torch.ones(len(planned.word), 7)
    with pytest.raises(ValueError, match="are the same"):
        direction(directions(x, planned))


def test_pictures_go_through_the_model_in_batches(clip_folder):
    places = grounds(3, np.random.default_rng(0))
    found = []
    for size in (2, 64):
        settings = EmbedConfig(
            batch_size=size, workers=0, shard_rows=9, dtype="float32", spatial_tokens=0,
            device="cpu", precision="float32",
        )  # fmt: skip
        shown = (blank(ground) for ground in places)
        found.append(embed_pictures(load_clip(clip_folder), shown, 3, settings))
    assert found[0].shape == (3, 64)
    assert torch.allclose(*found, atol=1e-5)
    assert not torch.allclose(found[0][0], found[0][1])
