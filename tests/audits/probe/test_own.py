"""Words on pictures of a dataset."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from audits.probe import own
from audits.probe.answers import NO_WORD, Plan
from audits.probe.own import SHOWN, chosen, own_pictures, plan_own
from audits.probe.writing import EDGE
from pipeline.datasets.pixels import Reading

READING = Reading()
WORDS = ["bat", "hot dog", "ship"]


def test_pictures_are_drawn_at_random_and_stay_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own, "PICTURES", 5)
    images = pd.DataFrame({"image_id": [f"i{number:02d}" for number in range(40)]})
    drawn = [chosen(images, np.random.default_rng(seed))["image_id"].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5 and drawn[0] == sorted(drawn[0])
    assert chosen(images[:3], np.random.default_rng(0))["image_id"].tolist() == [
        "i00",
        "i01",
        "i02",
    ]


def test_each_picture_is_a_ground_with_one_word() -> None:
    planned = plan_own(50, 3, np.random.default_rng(0))
    assert planned.ground.tolist() == [at for at in range(50) for _ in range(SHOWN)]
    has_word = planned.word != NO_WORD
    assert has_word.reshape(50, SHOWN).tolist() == [[True, False, False]] * 50
    assert set(planned.word[has_word]) == {0, 1, 2}


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Two pictures, one wide and one high, each of one colour."""
    for name, size, colour in (("a", (90, 60), (200, 30, 40)), ("b", (50, 80), (20, 90, 160))):
        Image.new("RGB", size, colour).save(tmp_path / f"{name}.png")
    return pd.DataFrame({"image_id": ["a", "b"], "path": ["a.png", "b.png"]})


def shown(images: pd.DataFrame, root: Path, seed: int = 0) -> tuple[Plan, list[Image.Image]]:
    rng = np.random.default_rng(seed)
    planned = plan_own(len(images), len(WORDS), rng)
    return planned, list(own_pictures(images, root, READING, WORDS, planned, rng))


def test_a_word_and_marks_stand_on_the_picture_which_comes_last(
    images: pd.DataFrame, tmp_path: Path
) -> None:
    planned, pictures = shown(images, tmp_path)
    assert len(pictures) == len(planned.word) == 2 * SHOWN
    for first, colour in ((0, (200, 30, 40)), (SHOWN, (20, 90, 160))):
        word, marks, plain = (np.array(picture) for picture in pictures[first : first + SHOWN])
        assert plain.shape == (EDGE, EDGE, 3)
        assert (plain == colour).all()
        for drawn in (word, marks):
            changed = (drawn != plain).any(axis=2)
            assert 0 < changed.mean() < 0.6
        assert (word != marks).any()


def test_the_same_seed_writes_the_same_and_another_something_else(
    images: pd.DataFrame, tmp_path: Path
) -> None:
    first, again, other = (shown(images, tmp_path, seed)[1][0].tobytes() for seed in (0, 0, 1))
    assert first == again != other


def test_a_picture_that_is_gone_is_named(images: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "b.png").unlink()
    with pytest.raises(OSError, match=r"b\.png"):
        shown(images, tmp_path)
