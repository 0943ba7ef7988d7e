"""The prepare stage: the files that it writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pipeline.artifacts.store import read_json, read_table
from pipeline.datasets import Distractor, Listing, adapters, splits
from pipeline.datasets.duplicates import COLUMNS as PAIR_COLUMNS
from pipeline.datasets.manifest import COLUMNS, fingerprint
from pipeline.datasets.pixels import reading_of
from pipeline.datasets.prepare import prepare
from pipeline.embeddings.images import batches, to_bytes
from tests.pipeline.datasets.invented_isic import NEVUS, isic_config, row, write_2019, write_2024
from tests.pipeline.datasets.test_adapters import folder_config
from tests.pipeline.datasets.test_duplicates import picture
from tests.pipeline.datasets.test_manifest import draw, record


def scenes(root: Path) -> None:
    """Four train and two val images of two classes."""
    paths = ["train/bat/0", "train/bat/1", "train/dog/0", "train/dog/1", "val/bat/0", "val/dog/0"]
    for shade, path in enumerate(paths):
        draw(root / f"{path}.png", shade)


def test_prepare_writes_the_manifest_and_what_describes_it(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "train/fox").mkdir()
    (root / "val/bat/notes.txt").write_text("not an image")
    (root / "classes.csv").write_text('label,name\nbat,"bat, animal"\ndog,dog\nfox,fox\n')
    prepare("scenes", folder_config(root, licence="CC BY 4.0"), 0, out, workers=1)
    table = pd.read_parquet(out / "manifest.parquet")
    assert list(table.columns) == COLUMNS
    assert table.image_id.is_monotonic_increasing
    data = json.loads((out / "dataset.json").read_text())
    assert data.pop("fingerprint") == fingerprint(table)
    assert data == {
        "name": "scenes",
        "licence": "CC BY 4.0",
        "counts": {
            "images": 6,
            "groups": 6,
            "largest_group": 1,
            "splits": {"train": 4, "val": 2},
            "labels": {"bat": 3, "dog": 3},
            "unlabelled": 0,
            "duplicates": {"exact": 0, "near": 0, "left_out": 0},
        },
        "classes": [
            {"label": "bat", "name": "bat, animal", "short": "bat"},
            {"label": "dog", "name": "dog", "short": "dog"},
        ],
        "pixels": {"as": "shown", "bits": 8},
        "excluded": [
            {
                "path": "val/bat/notes.txt",
                "reason": "a text by its suffix, not an image",
                "fault": False,
            }
        ],
        "excluded_classes": [{"label": "fox", "reason": "no usable image"}],
        "truth_sha256": None,
    }
    assert list(read_table(out / "duplicates.csv").columns) == PAIR_COLUMNS
    assert read_table(out / "distractors.csv").empty
    table = read_table(out / "manifest.parquet")
    assert read_table(out / "images.parquet").equals(table[["image_id", "path", "sha256"]])
    assert read_json(out / "classes.json") == data["classes"]
    assert reading_of(read_json(out / "reading.json")) == reading_of(data)


def test_prepare_is_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    scenes(root)
    for workers in (1, 2):
        prepare("scenes", folder_config(root), 0, tmp_path / str(workers), workers)
    for name in ("manifest.parquet", "dataset.json", "duplicates.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_prepare_thins_and_takes_the_licence_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    scenes(root)
    (root / "LICENSE.txt").write_text("CC BY-SA 4.0\n")
    prepare("scenes", folder_config(root, every=2), 0, tmp_path, workers=1)
    data = json.loads((tmp_path / "dataset.json").read_text())
    assert data["licence"] == "CC BY-SA 4.0"
    assert data["counts"]["splits"] == {"train": 2, "val": 2}


def test_prepare_names_a_missing_folder_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"datasets\.scenes\.root is .*nowhere"):
        prepare("scenes", folder_config(tmp_path / "nowhere"), 0, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_prepare_stops_where_too_many_images_are_broken(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "train/bat/1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 6 images.*\n.*train/bat/1.png: the file is empty"):
        prepare("scenes", folder_config(root, max_excluded=0.1), 0, out, workers=1)
    assert not out.exists()


def test_the_truth_has_a_version(tmp_path: Path) -> None:
    scenes(tmp_path / "raw")
    versions = []
    for content in ("image_id\n", "image_id\ntrain/bat/0\n"):
        (tmp_path / "raw" / "truth.csv").write_text(content)
        out = tmp_path / "out"
        prepare("scenes", folder_config(tmp_path / "raw"), 0, out, workers=1)
        versions.append(json.loads((out / "dataset.json").read_text())["truth_sha256"])
    assert None not in versions
    assert versions[0] != versions[1]


def test_distractors_are_those_whose_image_is_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "more/bat").mkdir(parents=True)
    (root / "more/bat/empty.png").touch()
    draw(root / "more/bat/branch.png", 7)
    plain = adapters.ADAPTERS["image_folder"](root, folder_config(root), 0)
    extra = [
        record(f"more/bat/{name}.png")._replace(split="test", label=None)
        for name in ("branch", "empty")
    ]
    sets = [Distractor(item.image_id, "bat", "branches") for item in extra]
    with_sets = Listing(sorted([*plain.records, *extra]), plain.labels, plain.excluded, sets)
    monkeypatch.setitem(adapters.ADAPTERS, "image_folder", lambda *_: with_sets)
    prepare("scenes", folder_config(root), 0, out, workers=1)
    table = read_table(out / "distractors.csv")
    assert table.to_dict("records") == [
        {"image_id": "more/bat/branch", "label": "bat", "set": "branches"}
    ]
    monkeypatch.setitem(adapters.ADAPTERS, "image_folder", lambda *_: plain)
    prepare("scenes", folder_config(root), 0, out, workers=1)
    assert read_table(out / "distractors.csv").empty


def test_releases_of_isic_with_a_picture_in_common(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    names = [f"i{i:02}" for i in range(12)]
    write_2019(root / "a", [row(name, "NV") for name in names], {name: "" for name in names})
    write_2024(root / "b", [(f"j{i:02}", f"P{i}", "", NEVUS, "0") for i in range(12)])
    for i in range(12):
        picture(i).save(root / f"a/ISIC_2019_Training_Input/i{i:02}.jpg", quality=95)
        again = picture(i if i < 8 else 50 + i).resize((140, 100))
        again.save(root / f"b/train-image/image/j{i:02}.jpg", quality=75)
    config = isic_config(root, near_duplicates=16, max_excluded=0.0)
    prepare("skin", config, 0, out, workers=1)
    table = read_table(out / "manifest.parquet").set_index("image_id")
    assert len(table) == 24
    assert table.split[:8].tolist() == table.split[12:20].tolist()
    assert table.group_id[12:20].tolist() == table.group_id[:8].tolist()
    assert (table.groupby("group_id").split.nunique() == 1).all()
    assert set(table.split) == {"train", "val"}
    pairs = read_table(out / "duplicates.csv")
    assert pairs.other_id.tolist() == [f"j{i:02}" for i in range(8)]
    assert set(pairs.done) == {"joined"}
    prepare("skin", isic_config(root), 0, out, workers=1)
    alone = read_table(out / "manifest.parquet").set_index("image_id").split
    assert alone[:8].tolist() != alone[12:20].tolist()  # what it would be without


def test_a_lesion_of_most_images_stops_prepare(tmp_path: Path, monkeypatch) -> None:
    names = [f"i{i:02}" for i in range(12)]
    write_2019(
        tmp_path, [row(n, "NV") for n in names], {n: "L" if n > "i03" else "" for n in names}
    )
    for i in range(12):
        picture(i).save(tmp_path / f"ISIC_2019_Training_Input/i{i:02}.jpg")
    config = isic_config(tmp_path, splits={"train": 0.5, "val": 0.5})
    prepare("skin", config, 0, tmp_path / "out", workers=1)  # with so few groups it is chance
    monkeypatch.setattr(splits, "CHANCE_OFF", 0.0)
    with pytest.raises(ValueError, match=r"'L', holds 8 of 12 images"):
        prepare("skin", config, 0, tmp_path / "out", workers=1)


def test_what_a_person_should_know_is_written_and_said(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    write_2019(root, [row(f"i{i}", "NV") for i in range(9)], {f"i{i}": "" for i in range(9)})
    for i in range(8):
        picture(i).save(root / f"ISIC_2019_Training_Input/i{i}.jpg")
    (root / "ISIC_2019_Training_Input/i8.jpg").unlink()
    said = prepare("skin", isic_config(root, max_excluded=0.0), 0, out, workers=1)
    [note] = json.loads((out / "dataset.json").read_text())["notes"]
    assert note.startswith("1 of 9 rows of ISIC_2019_Training_GroundTruth.csv have no image")
    assert said.endswith(f"dataset.json\n  {note}")


def test_prepare_refuses_links_that_dvc_does_not_see(tmp_path: Path) -> None:
    scenes(tmp_path / "disk")
    scenes(tmp_path / "raw")
    (tmp_path / "raw/train/fox").symlink_to(tmp_path / "disk/train/bat")
    with pytest.raises(ValueError, match="train/fox is a symbolic link to the folder"):
        prepare("scenes", folder_config(tmp_path / "raw"), 0, tmp_path / "out", workers=1)


def test_a_licence_in_another_encoding_is_named(tmp_path: Path) -> None:
    scenes(tmp_path / "raw")
    (tmp_path / "raw/LICENSE.txt").write_bytes("Lizenz für alle".encode("cp1252"))
    with pytest.raises(ValueError, match=r"LICENSE\.txt, line 1: byte 0xfc"):
        prepare("scenes", folder_config(tmp_path / "raw"), 0, tmp_path / "out", workers=1)


def test_deep_images_are_scaled_alike_and_counted(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    for number, high in enumerate((4000, 200)):
        values = np.linspace(0, high, 35).round().astype(np.uint16).reshape(5, 7)
        Image.fromarray(values).save(root / f"train/bat/deep{number}.png")
    Image.fromarray(np.full((4, 4), -1, dtype=np.int32)).save(root / "train/bat/odd.tiff")
    summary = prepare("scenes", folder_config(root), 0, out, workers=1)
    assert (
        "1 images and 0 classes left out, pixels shown (2 of more than 8 bits (taken at 12))"
        in (summary)
    )
    about = read_json(out / "dataset.json")
    assert about["pixels"] == {"as": "shown", "bits": 12, "deep": {"8": 1, "12": 1}}
    assert about["excluded"][0]["reason"].startswith("its pixels are whole numbers from -1 to -1")
    images = read_table(out / "manifest.parquet")
    images = images[images.image_id.str.contains("deep")].reset_index(drop=True)
    (batch,) = batches(images, root, reading_of(about), to_bytes, [range(2)], 0, "test")
    high = [int(picture.max()) for picture in batch.pixels]
    assert high == [round(4000 / 4095 * 255), round(200 / 4095 * 255)]


def test_pixels_are_shown_or_stored_as_the_dataset_says(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    scenes(root)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(3).save(root / "val/bat/phone.jpg", exif=exif)
    taken = {}
    for how in ("shown", "stored"):
        summary = prepare("scenes", folder_config(root, pixels=how), 0, tmp_path / how, workers=1)
        assert f"pixels {how} (1 rotated)" in summary
        about = read_json(tmp_path / how / "dataset.json")
        assert about["pixels"] == {"as": how, "bits": 8, "rotated": 1}
        images = read_table(tmp_path / how / "manifest.parquet")
        images = images[images.image_id == "val/bat/phone"]
        assert images[["width", "height"]].iloc[0].tolist() == [150, 110]
        (batch,) = batches(images, root, reading_of(about), to_bytes, [range(1)], 0, "test")
        taken[how] = batch.pixels[0]
    assert taken["shown"].shape == (150, 110, 3)
    assert torch.equal(taken["shown"], taken["stored"].rot90(-1))


def test_what_is_asked_of_classes_is_said_before_any_image_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "stray.png").touch()
    monkeypatch.setattr("pipeline.datasets.prepare.build", None)
    config = folder_config(root, max_excluded=0.0)
    with pytest.raises(ValueError, match=r"1 of 7 images are unusable(.|\n)*\n\['bat', 'dog'\]"):
        prepare("scenes", config, 0, out, 1, lambda labels, left_out: [str(labels)])


def test_a_class_that_is_asked_for_and_left_out_stops(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "train/fox").mkdir()

    def asked(labels: Sequence[str], left_out: Mapping[str, str]) -> list[str]:
        return [] if "fox" in labels else [f"fox: {left_out['fox']}"]

    with pytest.raises(ValueError, match=r"^fox: no usable image$"):
        prepare("scenes", folder_config(root), 0, out, 1, asked)
    assert not out.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"licence": "CC0"},
        {"max_excluded": 0.9},
        {"near_duplicates": 12},
        {"splits": {"train": 0.4, "val": 0.6}},
    ],
)
def test_settings_that_touch_no_pixel_decode_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    root, kept = tmp_path / "raw", tmp_path / "decoded"
    for shade in range(12):
        draw(root / f"{'bat' if shade % 2 else 'dog'}/{shade}.png", shade)
    first: dict[str, object] = {"splits": {"train": 0.5, "val": 0.5}, "max_excluded": 0.9}
    prepare("scenes", folder_config(root, **first), 0, tmp_path / "a", 1, decoded=kept)
    later = {"seed": 0, **first, **changes}
    seed = later.pop("seed")
    config = folder_config(root, **later)
    prepare("scenes", config, seed, tmp_path / "fresh", 1)
    monkeypatch.setattr("pipeline.datasets.opening.decode", None)
    prepare("scenes", config, seed, tmp_path / "kept", 1, decoded=kept)
    for name in ("manifest.parquet", "dataset.json", "duplicates.csv"):
        assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
