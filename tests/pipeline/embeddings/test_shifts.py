"""What each shift does to pixels, and which images are shifted."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from pipeline.config import STATISTICS
from pipeline.embeddings.perturb import description
from pipeline.embeddings.plan_shifts import sampled
from pipeline.embeddings.shifts import amounts, quality, shifted, statistics
from tests.audits.shortcut.invented import config


def pictures() -> Tensor:
    """Five pictures [5, 12, 10, 3] of middling brightness."""
    g = torch.Generator().manual_seed(0)
    return torch.randint(60, 160, (5, 12, 10, 3), generator=g, dtype=torch.uint8)


def test_statistics_by_hand() -> None:
    plain = torch.full((2, 3, 4, 3), 99, dtype=torch.uint8)
    plain[1, ..., 0] = 24
    found = statistics(plain)
    # Hues as logs of 1 + mean: nothing where all are alike; log (25/100) for a fourth of the red.
    assert found[0].tolist() == pytest.approx([0, 0, 0, np.log(100), 0], abs=1e-5)
    assert float(found[1, 0]) == pytest.approx(np.log(0.25), abs=1e-5)
    assert float(found[1, 1]) == pytest.approx(-0.5 * np.log(0.25), abs=1e-5)


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize("amount", [-0.2, 0.3])
def test_a_shift_moves_its_own_statistic_by_its_amount(kind: str, amount: float) -> None:
    before, after = pictures(), shifted(pictures(), kind, amount)
    assert after.dtype == torch.uint8
    moved = (statistics(after) - statistics(before)).mean(dim=0)
    place = STATISTICS.index(kind)
    assert float(moved[place]) == pytest.approx(amount, abs=0.03)
    if place < 3:
        others = [p for p in range(3) if p != place]
        assert float(moved[others].abs().max()) == pytest.approx(abs(amount) / 2, abs=0.02)
        assert int(after.max()) <= int(before.max())  # nothing saturates


def test_blur_takes_detail_away_and_jpeg_and_patch_more_with_strength() -> None:
    plain = pictures()

    def change(kind: str, strength: float) -> float:
        return float((shifted(plain, kind, strength).float() - plain.float()).abs().mean())

    for kind in ("blur", "jpeg", "patch"):
        weak, strong = (6.0, 30.0) if kind == "blur" else (1.0, 4.0)
        assert 0 < change(kind, weak) < change(kind, strong), kind
    assert (quality(1.0), quality(2.0), quality(9.0)) == (50, 25, 1)
    patched = shifted(plain, "patch", 4.0)  # a tenth of 120 pixels
    assert ((patched != plain).any(dim=-1).sum(dim=(1, 2)) <= 9).all()
    with pytest.raises(ValueError, match="'sepia' is no shift"):
        shifted(plain, "sepia", 1.0)


def test_strengths_are_in_the_train_images_own_spread() -> None:
    spread = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    found = amounts({"green": [-1.0, 2.0], "blur": [2.0]}, spread)
    assert found["green_-1"] == ("green", pytest.approx(-0.2))
    assert found["green_2"] == ("green", pytest.approx(0.4)) and found["blur_2"] == ("blur", 2)


def test_a_shift_out_of_the_train_images_range_is_seen_as_one() -> None:
    settings = config(shifts={"red": [1, 8], "patch": [1]})
    found = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0))
    moved = amounts(settings.shifts, found.std(dim=0))
    table = description(settings.shifts, found, moved, 0.25, False)
    assert table["shift"].tolist() == ["red_1", "red_8", "patch_1"]
    near, far, unknown = table["beyond"]
    # Beyond the quantile of 0.995, 2.58 deviations: as often as a normal number is above 1.58.
    assert near == pytest.approx(0.057, abs=0.015) and far > 0.99 and np.isnan(unknown)


def test_either_side_is_sampled_by_hash_up_to_half() -> None:
    rng = np.random.default_rng(0)
    images = pd.DataFrame(
        {
            "sha256": [f"{number:064x}" for number in rng.permutation(100)],
            "split": ["train"] * 60 + ["val"] * 40,
            "label": (["MEL"] * 1 + ["NV"] * 3 + [None]) * 20,
        }
    )
    chosen = sampled(images, config(train_images=20, held_out_images=200))
    kept = images[chosen]
    counts = kept.groupby(["split", "label"]).size()
    assert counts["train"].to_dict() == {"MEL": 10, "NV": 10}
    assert counts["val"].to_dict() == {"MEL": 8, "NV": 24}
    shuffled = images.sample(frac=1, random_state=1)
    again = shuffled[sampled(shuffled, config(train_images=20, held_out_images=200))]
    assert set(again["sha256"]) == set(kept["sha256"])
