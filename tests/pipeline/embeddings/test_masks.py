"""Where the object of a picture is, and pictures of which a part is shifted or covered."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import COVERED, ConfigError
from pipeline.embeddings.images import to_bytes
from pipeline.embeddings.masks import lesion, objects, otsu, version
from pipeline.embeddings.shifts import alone, covered, statistics

SKIN, BROWN, WHITE, BLUE = (220, 180, 160), (90, 60, 40), (250, 250, 245), (30, 60, 180)
HEIGHT, WIDTH = 60, 72


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    found: np.ndarray = np.hypot(rows - y, columns - x) <= radius
    return found


def picture(*discs: tuple[float, float, float, tuple[int, int, int]]) -> np.ndarray:
    found = np.full((HEIGHT, WIDTH, 3), SKIN, dtype=np.uint8)
    for y, x, radius, colour in discs:
        found[disc(y, x, radius)] = colour
    return found


def test_the_lesion_is_found_beside_a_sticker_with_a_margin_and_its_glint() -> None:
    there = lesion(picture((26, 38, 12, BROWN), (24, 38, 5, WHITE), (60, 5, 12, BLUE)))
    assert there[disc(26, 38, 12)].all() and not there[~disc(26, 38, 17)].any()


def test_the_black_around_a_round_field_is_no_lesion() -> None:
    shown = picture((30, 40, 10, BROWN))
    shown[~disc(30, 36, 33)] = 0
    there = lesion(shown)
    assert there[disc(30, 40, 10)].all() and not there[~disc(30, 40, 15)].any()


def test_of_a_plain_picture_nothing_is_known() -> None:
    assert lesion(picture()).all() and lesion(np.zeros((8, 10, 3), dtype=np.uint8)).all()


def test_otsu_cuts_between_two_groups() -> None:
    values = np.concatenate([np.full(30, 1.0), np.full(5, 3.0)])
    assert 1 < otsu(values) < 3


def test_masks_of_the_datasets_own_go_the_way_of_the_images(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for name, there in (("a", disc(30, 36, 9)), ("b", np.ones((HEIGHT, WIDTH), dtype=bool))):
        Image.fromarray(there.astype(np.uint8) * 255).save(tmp_path / f"masks/{name}.png")
    shown = torch.from_numpy(np.stack([picture(), picture()]))

    def found(*ids: str) -> torch.Tensor:
        return objects(shown, list(ids), tmp_path, "masks/{image}.png", to_bytes)

    np.testing.assert_array_equal(found("a", "b")[0].numpy(), disc(30, 36, 9))
    assert found("a", "b")[1].all()
    with pytest.raises(ConfigError, match=r"shortcut.mask: .*masks/c.png cannot be read"):
        found("a", "c")


def test_surroundings_alone_are_measured_shifted_and_covered() -> None:
    shown = torch.from_numpy(np.stack([picture((30, 36, 12, BROWN)), picture()]))
    there = torch.from_numpy(np.stack([disc(30, 36, 12), np.ones((HEIGHT, WIDTH), dtype=bool)]))
    plain = torch.tensor(SKIN, dtype=torch.uint8).expand(1, HEIGHT, WIDTH, 3)
    around = statistics(shown, ~there)
    torch.testing.assert_close(around[:1], statistics(plain))
    assert around[1].isnan().all()
    moved = alone(shown, shown // 2, there)
    assert (moved[there] == shown[there]).all() and (moved[~there] == shown[~there] // 2).all()
    usual = torch.tensor([10.0, 20.0, 30.0], dtype=torch.float64)
    parts = covered(shown, there, usual)
    assert (parts[COVERED[0]][0] == plain[0]).all()
    assert (parts[COVERED[1]][there] == shown[there]).all()
    assert (parts[COVERED[1]][~there] == usual.to(torch.uint8)).all()


def test_a_mask_that_changes_is_another_version(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    before = version(tmp_path, "{image}.png", ["a", "b"])
    assert version(tmp_path, "{image}.png", ["b", "a"]) != before
    (tmp_path / "b.png").write_bytes(b"c")
    assert version(tmp_path, "{image}.png", ["a", "b"]) != before
    assert version(tmp_path, "{image}.png", ["a"]) == version(tmp_path, "{image}.png", ["a"])
    with pytest.raises(ConfigError, match=r"shortcut\.mask: .*x\.png cannot be read"):
        version(tmp_path, "{image}.png", ["x"])
    assert version(tmp_path, "dermoscopy", ["x"]) is None is version(tmp_path, None, ["x"])
