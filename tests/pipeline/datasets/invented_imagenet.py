"""A few pictures of ImageNet in a layout, and what is listed of them."""

import io
import json
from pathlib import Path

from PIL import Image

from pipeline.config import DatasetConfig
from pipeline.datasets import Listing, Record, imagenet
from pipeline.datasets.files import read_bytes
from tests.pipeline.datasets.test_files import write_tar

TENCH, GOLDFISH, SHARK = "n01440764", "n01443537", "n01484850"  # 0, 1 and 2 in order


def jpeg(shade: int) -> bytes:
    """A tiny image, different for each shade."""
    file = io.BytesIO()
    Image.new("RGB", (5, 3), (shade, 10, 200)).save(file, "JPEG")
    return file.getvalue()


def put(root: Path, *paths: str) -> None:
    for shade, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpeg(shade))


def listed(root: Path) -> Listing:
    return imagenet.records(root, DatasetConfig.model_construct(kind="imagenet"), seed=0)


def record(path: str, split: str, label: str, image_id: str) -> Record:
    return Record(image_id, path, split, label, image_id)


def assert_all_open(root: Path, listing: Listing) -> None:
    for item in listing.records:
        assert Image.open(io.BytesIO(read_bytes(root, item.path))).size == (5, 3)


def write_webdataset(root: Path) -> None:
    """Tars with classes by number, in JSON and by wnid, and samples without a label or image."""
    first = {
        f"{SHARK}_5.cls": b"2",
        f"{SHARK}_5.JPEG": jpeg(0),
        f"{SHARK}_5.json": json.dumps({"label": 2, "filename": f"{SHARK}/5.JPEG"}).encode(),
        f"d/{TENCH}_1.jpg": jpeg(1),
        f"d/{TENCH}_1.json": json.dumps({"label": 0}).encode(),
        "a b.png": jpeg(2),
        "a b.json": json.dumps({"synset": GOLDFISH}).encode(),
        "__notes__.txt": b"",
    }
    write_tar(root / "imagenet1k-train-0000.tar", first)
    second = {
        "0.jpg": jpeg(3),
        "1.cls": b"1",
        "2.jpg": jpeg(4),
        "2.cls": b"shark",
        "3.jpg": jpeg(5),
        "3.json": b"{",
        "4.jpg": jpeg(6),
        "4.png": jpeg(7),
        "4.cls": b"1\n",
        "5.jpg": jpeg(8),
        "5.cls": b"-1",
    }
    write_tar(root / "train" / "x-train-1.tar", second)
    write_tar(root / "val" / "validation.tar", {"0.cls": b"2", "0.jpg": jpeg(9)})
