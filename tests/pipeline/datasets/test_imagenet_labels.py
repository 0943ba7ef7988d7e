"""The order of ImageNet's classes."""

import pytest

from pipeline.datasets import imagenet_labels


def test_the_devkits_order_is_another() -> None:
    # Line 1 of ILSVRC2012_validation_ground_truth.txt is 490, and the image is a n01751748.
    wnids = imagenet_labels.wnids()
    assert wnids.index("n01751748") == 65
    assert "n01751748" not in (wnids[489], wnids[490])


def test_timm_and_open_clip_agree_on_the_order_of_classes() -> None:
    from open_clip import IMAGENET_CLASSNAMES

    imagenet_labels.check_names(list(IMAGENET_CLASSNAMES), "open_clip")
    names = list(IMAGENET_CLASSNAMES)
    for index in range(0, 1000, 10):  # a fifth of the classes out of place is noticed
        block = names[index : index + 2]
        names[index : index + 2] = block[::-1]
    with pytest.raises(ValueError, match="share a word"):
        imagenet_labels.check_names(names, "open_clip")


def test_wnids_are_checked_to_be_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.data import imagenet_info

    names = imagenet_labels.wnids()
    monkeypatch.setattr(imagenet_info.ImageNetInfo, "label_names", lambda self: names[::-1])
    with pytest.raises(ValueError, match="not 1000 wnids in their order"):
        imagenet_labels.wnids.__wrapped__()
