"""Which of ImageNet's layouts a folder has."""

from pathlib import Path

import pytest

from pipeline.datasets import imagenet
from tests.pipeline.datasets.invented_imagenet import TENCH, listed, put


def test_no_layout_is_an_error_that_shows_all(tmp_path: Path) -> None:
    (tmp_path / "ILSVRC2012_img_train.tar").touch()
    (tmp_path / "ILSVRC2012_img_val.tar").touch()
    with pytest.raises(FileNotFoundError) as caught:
        imagenet.layout(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path} holds ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar:")
    for name, looks in imagenet.LAYOUTS.items():
        assert f"{name}: {looks}" in message
    assert "torchvision.datasets.ImageNet unpacks them" in message
    with pytest.raises(FileNotFoundError, match="nope does not exist: kind imagenet needs"):
        listed(tmp_path / "nope")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty is empty"):
        listed(tmp_path / "empty")


def test_several_layouts_are_an_error(webdataset: Path) -> None:
    put(webdataset, f"train/{TENCH}/a.JPEG")
    with pytest.raises(ValueError, match=r"more than once: torchvision \(in .*webdataset"):
        listed(webdataset)
