"""Words on grounds."""

import numpy as np
import pytest

from audits.probe.writing import (
    CASES,
    EDGE,
    FONTS,
    TALLEST,
    blank,
    grounds,
    marked,
    writable,
    written,
)

WORD = "penguin"


@pytest.fixture(scope="module")
def places():
    return grounds(7, np.random.default_rng(0))


def difference(picture, ground):
    """Mask of the pixels that are not the ground's."""
    return (np.array(picture) != np.array(blank(ground))).any(axis=2)


def test_grounds_differ_and_do_not_depend_on_their_number(places):
    assert len({(g.top, g.width) for g in places}) == 7
    assert len({g.font for g in places}) == len(FONTS)
    assert {g.case for g in places} == set(range(len(CASES)))
    assert grounds(3, np.random.default_rng(0)) == places[:3]


def test_a_word_stands_inside_the_picture_in_both_inks(places):
    for ground in places:
        picture = written(WORD, ground)
        assert (picture.size, picture.mode) == ((EDGE, EDGE), "RGB")
        inked = difference(picture, ground)
        rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
        assert np.ptp(columns) / EDGE == pytest.approx(ground.width, abs=0.06)
        assert rows.min() > 0
        assert rows.max() < EDGE - 1
        pixels = np.array(picture)[inked]
        assert {0, 255} <= set(pixels[:, 0].tolist())


def test_short_and_long_words_fit(places):
    for word in ("I", "x" * 60):
        inked = difference(written(word, places[0]), places[0])
        assert 0 < np.ptp(np.flatnonzero(inked.any(axis=1))) / EDGE < TALLEST + 0.15


def test_another_word_is_another_picture(places):
    first, second = (np.array(written(word, places[1])) for word in (WORD, "camel"))
    assert (first != second).any()


def test_a_picture_of_a_word_leaves_the_blank_as_it_was(places):
    before = np.array(blank(places[0]))
    written(WORD, places[0])
    assert np.array_equal(before, np.array(blank(places[0])))


def test_marks_keep_to_the_words_extent(places):
    rng = np.random.default_rng(3)
    for ground in places:
        rows, columns = np.nonzero(difference(written(WORD, ground), ground))
        marks = difference(marked(WORD, ground, rng), ground)
        assert marks.any()
        for found, extent in zip(np.nonzero(marks), (rows, columns), strict=True):
            assert extent.min() - 12 <= found.min() <= found.max() <= extent.max() + 12


@pytest.mark.parametrize(
    ("word", "can"), [("hot dog", True), ("Käse", True), ("犬", False), ("\u200b犬", False)]
)
def test_what_the_fonts_can_write(word, can):
    assert writable(word) is can
