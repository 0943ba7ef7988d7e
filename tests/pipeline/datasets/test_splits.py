"""Splits: drawn by group, and thinned by class."""

from collections import Counter

import pytest

from pipeline.datasets import Record
from pipeline.datasets.splits import check_shares, split_of, thin


def test_split_of_is_the_hash_of_seed_and_group() -> None:
    # sha256("7:a") begins with 0x82d9, as a fraction 0.511; sha256("7:b") with 0xec2a, 0.923
    for share, splits in [
        (0.50, ["val", "val"]),
        (0.52, ["train", "val"]),
        (0.92, ["train", "val"]),
        (0.93, ["train", "train"]),
    ]:
        fractions = {"train": share, "val": 1 - share}
        assert [split_of(group, fractions, 7) for group in "ab"] == splits


def test_split_of_meets_the_shares_and_follows_the_seed() -> None:
    fractions = {"train": 0.7, "val": 0.2, "test": 0.1}
    drawn = [[split_of(f"lesion-{i}", fractions, seed) for i in range(4000)] for seed in (0, 1)]
    for splits in drawn:
        shares = {name: count / 4000 for name, count in Counter(splits).items()}
        assert shares == pytest.approx(fractions, abs=0.03)
    agree = sum(a == b for a, b in zip(*drawn, strict=True)) / 4000
    assert agree == pytest.approx(0.7**2 + 0.2**2 + 0.1**2, abs=0.03)  # independent seeds


def test_split_of_never_draws_a_share_of_zero() -> None:
    fractions = {"train": 0.0, "val": 0.3, "test": 0.7}
    assert {split_of(f"lesion-{i}", fractions, 0) for i in range(300)} == {"val", "test"}


@pytest.mark.parametrize("fractions", [{"train": 0.5}, {"train": 1.5, "val": -0.5}, {}])
def test_split_of_refuses_fractions_that_are_none(fractions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        split_of("a", fractions, 0)


def test_shares_vary_with_the_groups_but_not_by_a_huge_one() -> None:
    wish = {"train": 0.8, "val": 0.2}
    few = [("val", f"lesion-{i}") for i in range(4)] + [("train", f"nevus-{i}") for i in range(6)]
    check_shares(*zip(*few, strict=True), wish, 1)  # 0.4 for 0.2 is chance where groups are 10
    many = [("train", f"p{i}") for i in range(1000)] + [("val", f"q{i}") for i in range(250)]
    check_shares(*zip(*many, strict=True), wish, 1)
    check_shares(*zip(*(many[::4] + many[1000:]), strict=True), wish, 4)
    huge = [*many, *[("val", "q0")] * 500]
    with pytest.raises(
        ValueError, match=r"0\.8 of the images in train, which gets 0\.57.*'q0', holds 501 of 1750"
    ):
        check_shares(*zip(*huge, strict=True), wish, 1)


def test_thin_keeps_every_third_train_image_of_each_class() -> None:
    listed = [Record(f"{label}{i}", "", "train", label, "") for i in range(7) for label in "ab"]
    listed += [Record(f"v{i}", "", "val", "a", "") for i in range(4)]
    kept = [record.image_id for record in thin(listed, 3)]
    assert kept == ["a0", "b0", "a3", "b3", "a6", "b6", "v0", "v1", "v2", "v3"]
    assert thin(listed, 1) == listed


def test_thin_takes_images_without_a_label_for_a_class() -> None:
    listed = [Record(f"{i}", "", "train", None if i % 2 else "a", "") for i in range(6)]
    listed += [Record(f"t{i}", "", "test", None, "") for i in range(3)]
    assert [record.image_id for record in thin(listed, 2)] == ["0", "1", "4", "5", "t0", "t1", "t2"]
