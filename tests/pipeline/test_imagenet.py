"""ImageNet in each of its layouts, and Spurious ImageNet beside it."""

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.config import DatasetConfig
from pipeline.datasets import Distractor, Excluded, Listing, Record, imagenet, imagenet_labels
from pipeline.datasets.adapters import KNOWN_NAMES
from pipeline.datasets.classes import class_names
from pipeline.datasets.files import read_bytes
from tests.pipeline.test_files import write_parquet, write_tar

TENCH, GOLDFISH, SHARK = "n01440764", "n01443537", "n01484850"  # 0, 1 and 2 in order
KAGGLE = "ILSVRC/Data/CLS-LOC"


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


# torchvision


def test_torchvision(tmp_path: Path) -> None:
    put(
        tmp_path,
        f"train/{SHARK}/{SHARK}_10.JPEG",
        f"train/{TENCH}/{TENCH}_7.JPEG",
        f"val/{TENCH}/ILSVRC2012_val_00000293.JPEG",
    )
    (tmp_path / "val" / GOLDFISH).mkdir()
    listing = listed(tmp_path)
    assert imagenet.layout(tmp_path) == "torchvision"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]
    ids = [
        f"train/{TENCH}/{TENCH}_7",
        f"train/{SHARK}/{SHARK}_10",
        f"val/{TENCH}/ILSVRC2012_val_00000293",
    ]
    assert listing.records == [
        record(f"{i}.JPEG", i.split("/")[0], i.split("/")[1], i) for i in ids
    ]
    assert listing.excluded == listing.distractors == []
    assert_all_open(tmp_path, listing)
    names = class_names(tmp_path, listing.labels, KNOWN_NAMES["imagenet"])
    assert names[TENCH] == "tench, Tinca tinca"


def test_class_folders_that_are_no_wnids_are_refused(tmp_path: Path) -> None:
    put(tmp_path, f"train/{TENCH}/a.JPEG", "train/tench/b.JPEG", f"val/{TENCH}/c.JPEG")
    with pytest.raises(ValueError, match=r"class folder 'tench': .* kind image_folder"):
        listed(tmp_path)


# Kaggle

SOLUTION = f"""ImageId,PredictionString
ILSVRC2012_val_00000001,{TENCH} 111 108 290 320{" "}
ILSVRC2012_val_00000002,{SHARK} 1 2 3 4 {SHARK} 5 6 7 8{" "}
ILSVRC2012_val_00000003,{SHARK} 1 2 3 4 {TENCH} 5 6 7 8{" "}
ILSVRC2012_val_00000004,{TENCH} 1 2 3 4{" "}
"""


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    put(
        tmp_path,
        f"{KAGGLE}/train/{TENCH}/{TENCH}_10026.JPEG",
        f"{KAGGLE}/train/{SHARK}/{SHARK}_9.JPEG",
        f"{KAGGLE}/test/ILSVRC2012_test_00000001.JPEG",
        *(f"{KAGGLE}/val/ILSVRC2012_val_0000000{i}.JPEG" for i in (1, 2, 3, 5)),
    )
    (tmp_path / "LOC_val_solution.csv").write_text(SOLUTION)
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        f"{TENCH} tench, Tinca tinca\n{GOLDFISH} goldfish, Carassius auratus\n"
    )
    return tmp_path


def test_kaggle(kaggle: Path) -> None:
    listing = listed(kaggle)
    assert imagenet.layout(kaggle) == "kaggle"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]  # goldfish of the mapping alone
    assert [(r.image_id, r.split, r.label) for r in listing.records] == [
        (f"train/{TENCH}/{TENCH}_10026", "train", TENCH),
        (f"train/{SHARK}/{SHARK}_9", "train", SHARK),
        (f"val/{TENCH}/ILSVRC2012_val_00000001", "val", TENCH),
        (f"val/{SHARK}/ILSVRC2012_val_00000002", "val", SHARK),
    ]
    val = f"{KAGGLE}/val/ILSVRC2012_val_0000000"
    assert listing.records[2].path == f"{val}1.JPEG"
    assert listing.excluded == [
        Excluded(
            f"{val}3.JPEG", f"boxes of several classes in LOC_val_solution.csv: {TENCH}, {SHARK}"
        ),
        Excluded(f"{val}4.JPEG", "no such file, but a row in LOC_val_solution.csv"),
        Excluded(f"{val}5.JPEG", "no row in LOC_val_solution.csv"),
    ]
    assert_all_open(kaggle, listing)


def test_kaggle_with_val_in_folders_is_like_torchvision(tmp_path: Path) -> None:
    paths = [f"train/{TENCH}/a.JPEG", f"val/{TENCH}/b.JPEG"]
    put(tmp_path / "torchvision", *paths)
    put(tmp_path / "kaggle" / KAGGLE, *paths)
    one, other = (listed(tmp_path / name) for name in ("torchvision", "kaggle"))
    assert [r.image_id for r in one.records] == [r.image_id for r in other.records]
    assert other.records[0].path == f"{KAGGLE}/train/{TENCH}/a.JPEG"


@pytest.mark.parametrize("base", ["", f"{KAGGLE}/"])
def test_a_flat_val_without_its_table_names_the_devkits_trap(tmp_path: Path, base: str) -> None:
    put(tmp_path, f"{base}train/{TENCH}/a.JPEG", f"{base}val/ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n")
    with pytest.raises(FileNotFoundError) as caught:
        listed(tmp_path)
    for part in (
        str(tmp_path / base / "val"),
        "LOC_val_solution.csv there",
        "val/<wnid>/",
        "ILSVRC2012_validation_ground_truth.txt) are in another order",
    ):
        assert part in str(caught.value)


def test_the_devkits_order_is_another() -> None:
    # Line 1 of ILSVRC2012_validation_ground_truth.txt is 490, and the image is a n01751748.
    wnids = imagenet_labels.wnids()
    assert wnids.index("n01751748") == 65
    assert "n01751748" not in (wnids[489], wnids[490])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ImageId", "Image", "no column ImageId"),
        ("00000002,", "00000001,", r"line 3 lists 'ILSVRC2012_val_00000001' twice"),
        (f",{TENCH} 111", ",490 111", "line 2: PredictionString is '490 111"),
        (" 290 320", " 290", "line 2: PredictionString"),
    ],
)
def test_kaggles_table_is_checked(kaggle: Path, old: str, new: str, message: str) -> None:
    table = kaggle / "LOC_val_solution.csv"
    assert old in SOLUTION
    table.write_text(SOLUTION.replace(old, new))
    with pytest.raises(ValueError, match=message):
        listed(kaggle)


def test_kaggles_mapping_is_checked(kaggle: Path) -> None:
    (kaggle / "LOC_synset_mapping.txt").write_text(f"{TENCH} tench\ngoldfish\n")
    with pytest.raises(ValueError, match="line 2: 'goldfish' is no wnid"):
        listed(kaggle)


# Hugging Face


def shard(root: Path, name: str, rows: list[tuple[str | None, int | None]], group: int = 2) -> None:
    images = [{"bytes": jpeg(i), "path": path} for i, (path, _) in enumerate(rows)]
    write_parquet(root / name, images, [label for _, label in rows], group)


@pytest.fixture
def huggingface(tmp_path: Path) -> Path:
    rows = [(f"{SHARK}_53_{SHARK}.JPEG", 2), (f"{TENCH}_1_{TENCH}.JPEG", 0), (None, 1)]
    shard(tmp_path, "data/train-00000-of-00002.parquet", rows)
    shard(tmp_path, "data/train-00001-of-00002.parquet", [(None, -1), ("x y.JPEG", 2)])
    val = [(f"ILSVRC2012_val_00000001_{GOLDFISH}.JPEG", 1), (None, None)]
    shard(tmp_path, "data/validation-00000-of-00001.parquet", val)
    shard(tmp_path, "data/test-00000-of-00009.parquet", [("t.JPEG", -1)])
    return tmp_path


def test_huggingface(huggingface: Path) -> None:
    listing = listed(huggingface)
    assert imagenet.layout(huggingface) == "huggingface"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]
    stem = "train-00000-of-00002"
    assert listing.records == [
        record(
            f"data/{stem}.parquet#0", "train", SHARK, f"train/{stem}/0000000-{SHARK}_53_{SHARK}"
        ),
        record(f"data/{stem}.parquet#1", "train", TENCH, f"train/{stem}/0000001-{TENCH}_1_{TENCH}"),
        record(f"data/{stem}.parquet#2", "train", GOLDFISH, f"train/{stem}/0000002"),
        record(
            "data/train-00001-of-00002.parquet#1",
            "train",
            SHARK,
            "train/train-00001-of-00002/0000001-x_y",
        ),
        record(
            "data/validation-00000-of-00001.parquet#0",
            "val",
            GOLDFISH,
            f"val/validation-00000-of-00001/0000000-ILSVRC2012_val_00000001_{GOLDFISH}",
        ),
    ]
    assert [item.path for item in listing.excluded] == [
        "data/train-00001-of-00002.parquet#0",
        "data/validation-00000-of-00001.parquet#1",
    ]
    assert_all_open(huggingface, listing)
    assert read_bytes(huggingface, listing.records[2].path) == jpeg(2)


def test_missing_shards_are_named(huggingface: Path) -> None:
    (huggingface / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 2 .*train-00001-of-00002\.parquet$"):
        listed(huggingface)
    (huggingface / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-\*-of-\*\.parquet are missing"):
        listed(huggingface)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((None, 1000), r"row 0, has the class 1000: expected 0 to 999 .*devkit"),
        ((None, -2), "has the class -2"),
        # what the devkit's order would do
        ((f"{TENCH}_1.JPEG", 1), f"label {GOLDFISH}, but its name '{TENCH}_1.JPEG' says {TENCH}"),
    ],
)
def test_impossible_labels_of_rows(
    huggingface: Path, row: tuple[str | None, int], message: str
) -> None:
    shard(huggingface, "data/validation-00000-of-00001.parquet", [row])
    with pytest.raises(ValueError, match=message):
        listed(huggingface)


def name_classes(path: Path, names: list[str]) -> None:
    """Write names of classes into a shard as the `datasets` library does."""
    table = pq.read_table(path)
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    metadata = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)


def test_classes_named_by_wnids_are_taken_by_name(huggingface: Path) -> None:
    for path in huggingface.glob("data/*-0000*"):
        shard(huggingface, f"data/{path.name}", [(None, 0), (None, 1)])
    first = huggingface / "data" / "train-00000-of-00002.parquet"
    name_classes(first, [SHARK, TENCH])  # a part of ImageNet, in another order
    assert {r.label for r in listed(huggingface).records} == {SHARK, TENCH}
    assert [r.label for r in listed(huggingface).records[:2]] == [SHARK, TENCH]
    shard(huggingface, "data/validation-00000-of-00001.parquet", [(None, 2)])
    with pytest.raises(ValueError, match="class 2: its metadata name 2 classes"):
        listed(huggingface)


def test_classes_named_in_words_must_be_in_order(huggingface: Path) -> None:
    from open_clip import IMAGENET_CLASSNAMES

    first = huggingface / "data" / "train-00000-of-00002.parquet"
    name_classes(first, list(IMAGENET_CLASSNAMES))
    assert len(listed(huggingface).records) == 5
    name_classes(first, sorted(IMAGENET_CLASSNAMES))
    with pytest.raises(ValueError, match="must be in the order of wnids"):
        listed(huggingface)
    name_classes(first, ["tench", "goldfish"])
    with pytest.raises(ValueError, match="names 2 classes, not 1000"):
        listed(huggingface)


def test_timm_and_open_clip_agree_on_the_order_of_classes() -> None:
    from open_clip import IMAGENET_CLASSNAMES

    imagenet_labels.check_names(list(IMAGENET_CLASSNAMES), "open_clip")
    names = list(IMAGENET_CLASSNAMES)
    for index in range(0, 1000, 10):  # a fifth of the classes out of place is noticed
        block = names[index : index + 2]
        names[index : index + 2] = block[::-1]
    with pytest.raises(ValueError, match="share a word"):
        imagenet_labels.check_names(names, "open_clip")


# WebDataset


@pytest.fixture
def webdataset(tmp_path: Path) -> Path:
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
    write_tar(tmp_path / "imagenet1k-train-0000.tar", first)
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
    write_tar(tmp_path / "train" / "x-train-1.tar", second)
    write_tar(tmp_path / "val" / "validation.tar", {"0.cls": b"2", "0.jpg": jpeg(9)})
    return tmp_path


def test_webdataset(webdataset: Path) -> None:
    listing = listed(webdataset)
    assert imagenet.layout(webdataset) == "webdataset"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]
    tar = "imagenet1k-train-0000"
    assert listing.records == [
        record(f"{tar}.tar#{SHARK}_5.JPEG", "train", SHARK, f"train/{tar}/0000000-{SHARK}_5"),
        record(f"{tar}.tar#d/{TENCH}_1.jpg", "train", TENCH, f"train/{tar}/0000001-{TENCH}_1"),
        record(f"{tar}.tar#a b.png", "train", GOLDFISH, f"train/{tar}/0000002-a_b"),
        record("train/x-train-1.tar#4.jpg", "train", GOLDFISH, "train/x-train-1/0000004-4"),
        record("val/validation.tar#0.jpg", "val", SHARK, "val/validation/0000000-0"),
    ]
    reasons = {item.path.split("#")[1]: item.reason for item in listing.excluded}
    assert list(reasons) == ["0.jpg", "1.cls", "2.jpg", "3.jpg", "4.png", "5.jpg"]
    assert "no label" in reasons["0.jpg"]
    assert "no image" in reasons["1.cls"]
    assert "'shark', not a number" in reasons["2.jpg"]
    assert "no JSON" in reasons["3.jpg"]
    assert reasons["4.png"] == "its sample has 4.jpg"
    assert "no label" in reasons["5.jpg"]
    assert_all_open(webdataset, listing)
    assert read_bytes(webdataset, listing.records[3].path) == jpeg(6)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"0.cls": b"1000"}, r"sample 0, has the class 1000: .*devkit"),
        ({"0.json": b'{"label": 1000}'}, "has the class 1000"),
        ({"0.cls": b"1", "0.json": b'{"label": 2}'}, "contradict each other"),
        ({"0.json": b'{"label": 2, "wnid": "n01440764"}'}, "contradict each other"),
        ({f"{TENCH}_0.cls": b"1"}, f"label {GOLDFISH}, but its name '{TENCH}_0' says {TENCH}"),
    ],
)
def test_impossible_labels_of_samples(
    webdataset: Path, members: dict[str, bytes], message: str
) -> None:
    key = next(iter(members)).partition(".")[0]
    write_tar(webdataset / "val" / "validation.tar", {**members, f"{key}.jpg": jpeg(0)})
    with pytest.raises(ValueError, match=message):
        listed(webdataset)


def test_both_splits_need_tars_of_their_own(webdataset: Path) -> None:
    (webdataset / "val" / "validation.tar").rename(webdataset / "train-val.tar")
    with pytest.raises(ValueError, match=r"train-val\.tar names both"):
        listed(webdataset)
    (webdataset / "train-val.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no \*val\*\.tar"):
        listed(webdataset)


# which layout


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


# Spurious ImageNet


@pytest.mark.parametrize(
    "base",
    [
        "spurious_imagenet/images",
        "dataset/spurious_imagenet/images",
        "spurious_imagenet/dataset/spurious_imagenet/images",
    ],
)
def test_spurious_imagenet(webdataset: Path, base: str) -> None:
    plain = listed(webdataset)
    put(
        webdataset,
        f"{base}/class_idx_2_comp_14/b 1.jpg",
        f"{base}/class_idx_2_comp_14/a.jpg",
        f"{base}/class_idx_2_comp_14/a.png",
        f"{base}/class_idx_0_comp_3/a.jpg",
        f"{base}/README.md",
    )
    listing = listed(webdataset)
    extra = [item for item in listing.records if item not in plain.records]
    shark, tench = "class_idx_2_comp_14", "class_idx_0_comp_3"
    ids = [f"spurious_imagenet/{name}" for name in (f"{tench}/a", f"{shark}/a", f"{shark}/b_1")]
    assert [(r.image_id, r.split, r.label, r.group_id) for r in extra] == [
        (i, "test", None, i) for i in ids
    ]
    assert extra[2].path == f"{base}/{shark}/b 1.jpg"
    assert listing.distractors == [
        Distractor(ids[0], TENCH, tench),
        Distractor(ids[1], SHARK, shark),
        Distractor(ids[2], SHARK, shark),
    ]
    assert listing.labels == plain.labels
    excluded = [item.path for item in listing.excluded if item not in plain.excluded]
    assert excluded == [f"{base}/README.md", f"{base}/{shark}/a.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("class_2_14", "class_2_14: expected a name such as"),
        ("class_idx_two_comp_14", "expected a name"),
        ("class_idx_2_comp_x", "expected a name"),
        ("class_idx_1000_comp_14", "has the class 1000"),
    ],
)
def test_other_folders_of_spurious_imagenet_are_refused(
    webdataset: Path, name: str, message: str
) -> None:
    put(webdataset, f"spurious_imagenet/images/{name}/a.jpg")
    with pytest.raises(ValueError, match=message):
        listed(webdataset)


def test_two_copies_of_spurious_imagenet_are_refused(webdataset: Path) -> None:
    for base in ("spurious_imagenet", "dataset/spurious_imagenet"):
        put(webdataset, f"{base}/images/class_idx_2_comp_14/a.jpg")
    with pytest.raises(ValueError, match="twice"):
        listed(webdataset)


def test_wnids_are_checked_to_be_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from timm.data import imagenet_info

    names = imagenet_labels.wnids()
    monkeypatch.setattr(imagenet_info.ImageNetInfo, "label_names", lambda self: names[::-1])
    with pytest.raises(ValueError, match="not 1000 wnids in their order"):
        imagenet_labels.wnids.__wrapped__()
