"""Duplicates: hashes of pictures, the search for near ones, and what is done about them."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import Record, duplicates
from pipeline.datasets.duplicates import COLUMNS, near_pairs, perceptual_hash, settle
from pipeline.datasets.groups import connected
from pipeline.datasets.pixels import SHOWN, decode

BLANK = bytes(32)


def picture(seed: int, size: tuple[int, int] = (150, 110)) -> Image.Image:
    """A picture with detail at every scale, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (n, n + 1, 3), dtype=np.uint8)).resize(size)
        for n in (3, 7, 15, 40)
    ]
    mixed = sum(np.asarray(layer, dtype=float) * 0.4**i for i, layer in enumerate(layers))
    return Image.fromarray((np.asarray(mixed) / 1.7).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content)


def flipped(content: bytes, bits: int) -> bytes:
    """The same hash with its first so many bits turned over."""
    number = int.from_bytes(content, "big") ^ (2**bits - 1)
    return number.to_bytes(32, "big")


def words(hashes: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(hashes), dtype="<u8").reshape(-1, 4)


def distance(one: bytes | None, other: bytes | None) -> int:
    assert one is not None
    assert other is not None
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


# hashes


def test_hash_survives_another_encoding_and_size() -> None:
    plain, other = picture(0), picture(1)
    for again in (jpeg(plain, 75), plain.resize((75, 55)), plain.resize((1400, 1100))):
        assert distance(perceptual_hash(plain), perceptual_hash(again)) <= 8
    assert distance(perceptual_hash(plain), perceptual_hash(other)) > 64


def test_pictures_with_nothing_to_tell_apart_have_no_hash() -> None:
    ramp = Image.linear_gradient("L")
    noise = 90 + np.random.default_rng(0).integers(0, 4, (70, 90), dtype=np.uint8)
    for empty in (
        Image.new("RGB", (40, 30)),
        Image.new("L", (3, 2), 200),
        Image.fromarray(noise),
        ramp,
        ramp.rotate(90),
    ):
        assert perceptual_hash(empty) is None


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16", "F", "1"])
@pytest.mark.parametrize("size", [(150, 110), (1400, 1100)])
def test_hash_of_a_file_of_any_mode(mode: str, size: tuple[int, int]) -> None:
    grey = picture(2, size).convert("L")
    image = grey.convert(mode)
    if mode in ("I;16", "F"):
        values = np.asarray(grey)
        scaled = values.astype(np.uint16) * 257 if mode == "I;16" else values / np.float32(255)
        image = Image.fromarray(scaled)
    content = io.BytesIO()
    image.save(content, "TIFF")
    hashed = perceptual_hash(decode(content.getvalue(), SHOWN).rgb)
    assert distance(hashed, perceptual_hash(picture(2, size))) < (64 if mode == "1" else 16)


# the search


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 16, 33, 64])
def test_near_pairs_are_those_of_comparing_all(radius: int) -> None:
    rng = np.random.default_rng(radius)
    hashes = rng.integers(0, 2**64, (90, 4), dtype=np.uint64)
    # copies of earlier ones with a number of bits on both sides of the radius, and equal ones
    for i in range(40, 90):
        flips = rng.choice(256, min(int(rng.integers(0, radius + 3)), 256), replace=False)
        hashes[i] = hashes[i % 9]
        for bit in flips:
            hashes[i, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    naive = {}
    for i in range(len(hashes)):
        for j in range(i + 1, len(hashes)):
            bits = int(np.bitwise_count(hashes[i] ^ hashes[j]).sum())
            if bits <= radius:
                naive[i, j] = bits
    positions, distances = near_pairs(hashes, radius)
    found = dict(zip(map(tuple, positions.tolist()), distances.tolist(), strict=True))
    assert found == naive
    assert list(found) == sorted(found)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_near_pairs_of_few(n: int) -> None:
    positions, distances = near_pairs(np.zeros((n, 4), dtype=np.uint64), 3)
    assert positions.tolist() == [[0, 1]][: n // 2]
    assert distances.tolist() == [0][: n // 2]


def test_near_pairs_stop_where_all_is_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 40)
    with pytest.raises(ValueError, match=r"near_duplicates is 2: more than 40 pairs .* Lower it"):
        near_pairs(np.zeros((11, 4), dtype=np.uint64), 2)


# groups


def test_connected_names_each_by_the_smallest_whatever_the_order() -> None:
    pairs = [("d", "c"), ("b", "a"), ("e", "e"), ("f", "d"), ("b", "f")]
    expected = {"a": "a", "b": "a", "c": "a", "d": "a", "f": "a", "e": "e"}
    assert connected(pairs) == expected
    assert connected([(b, a) for a, b in reversed(pairs)]) == expected
    assert connected([]) == {}


# what is done


def images(*entries: str) -> list[Record]:
    """Records of entries such as "a train bat"; a dash is no label, the group is in capitals."""
    parts = [entry.split() for entry in entries]
    return [
        Record(name, f"{name}.jpg", split, None if label == "-" else label, name.upper())
        for name, split, label in parts
    ]


def test_equal_bytes_under_two_labels_leave_the_later_out() -> None:
    listed = images("a train -", "b train bat", "c train dog", "d train bat", "e train dog")
    settled = settle(listed, ["x", "x", "x", "x", "y"], [None] * 5, None, None)
    assert settled.left_out == {"c": "same bytes as b.jpg (train, bat)"}
    assert [record.image_id for record in settled.records] == ["a", "b", "d", "e"]
    assert list(settled.pairs.columns) == COLUMNS
    assert settled.pairs.to_numpy().tolist() == [
        ["a", "b", 0, True, False, "kept"],
        ["a", "c", 0, True, False, "left out: c"],
        ["a", "d", 0, True, False, "kept"],
    ]


def test_train_gives_way_where_the_layout_splits() -> None:
    listed = images("a train bat", "b train bat", "c val bat", "d test bat", "e test -", "f val -")
    near = [BLANK, flipped(BLANK, 3), BLANK, flipped(BLANK, 200), BLANK, flipped(BLANK, 200)]
    settled = settle(listed, ["x", "y", "x", "z", "v", "w"], near, 4, None)
    assert [record.image_id for record in settled.records] == ["c", "f"]
    assert settled.left_out == {
        "a": "same bytes as c.jpg (val, bat)",
        "b": "near duplicate of c.jpg (val, bat): 3 of 256 bits differ",
        "d": "near duplicate of f.jpg (val, unknown): 0 of 256 bits differ",
        "e": "near duplicate of c.jpg (val, bat): 0 of 256 bits differ",
    }
    assert settled.pairs.to_numpy().tolist() == [
        ["a", "b", 3, False, False, "left out: a b"],
        ["a", "c", 0, True, False, "left out: a"],
        ["a", "e", 0, False, False, "left out: a e"],
        ["b", "e", 3, False, False, "left out: b e"],
        ["d", "f", 0, False, False, "left out: d"],
    ]


def test_an_image_gives_way_to_none_that_is_left_out_itself() -> None:
    # c gives way to d; a and b are near to c alone
    listed = images("a train bat", "b train bat", "c test bat", "d val bat")
    near = [flipped(BLANK, 9), flipped(BLANK, 12), flipped(BLANK, 4), BLANK]
    settled = settle(listed, ["a", "b", "c", "d"], near, 8, None)
    assert list(settled.left_out) == ["c"]
    assert [record.image_id for record in settled.records] == ["a", "b", "d"]


def test_near_duplicates_in_one_split_are_only_reported() -> None:
    listed = images("a train bat", "b train dog", "c val -", "d val dog")
    near = [BLANK, flipped(BLANK, 2), flipped(BLANK, 100), flipped(BLANK, 101)]
    settled = settle(listed, ["a", "b", "c", "d"], near, 2, None)
    assert settled.records == listed
    assert settled.pairs.to_numpy().tolist() == [
        ["a", "b", 2, False, True, "kept"],
        ["c", "d", 1, False, False, "kept"],
    ]


def drawn(splits: dict[str, str]) -> Callable[[str], str]:
    return lambda group_id: splits[group_id]


def test_groups_of_duplicates_become_one_where_splits_are_drawn() -> None:
    listed = images("a val bat", "b train bat", "c train dog", "d train bat")
    listed.append(Record("e", "e.jpg", "train", "bat", "F"))
    listed.append(Record("f", "f.jpg", "train", "bat", "F"))
    near = [BLANK, None, flipped(BLANK, 8), flipped(BLANK, 16), flipped(BLANK, 90), None]
    settled = settle(listed, ["a", "b", "c", "d", "e", "e"], near, 8, drawn({"A": "val"}))
    assert settled.left_out == {}
    assert [(r.image_id, r.group_id, r.split) for r in settled.records] == [
        ("a", "A", "val"),
        ("b", "B", "train"),
        ("c", "A", "val"),
        ("d", "A", "val"),
        ("e", "F", "train"),
        ("f", "F", "train"),
    ]
    assert settled.pairs.done.tolist() == ["joined", "joined", "kept"]
    assert settled.pairs.labels_differ.tolist() == [True, True, False]


def of_patients(*said: str) -> list[Record]:
    """An image of each "id split patient"."""
    return [
        Record(name, f"{name}.jpg", split, "bat", patient)
        for name, split, patient in (text.split() for text in said)
    ]


def test_near_duplicates_join_no_groups_of_several_images() -> None:
    listed = of_patients("a train P", "b train P", "c val Q", "d val Q", "e train R")
    near = [BLANK, flipped(BLANK, 90), flipped(BLANK, 8), flipped(BLANK, 120), flipped(BLANK, 4)]
    settled = settle(listed, list("abcde"), near, 8, drawn({}))
    # a and e give way to c, which is in val; no patient is joined to another
    assert [(r.image_id, r.group_id, r.split) for r in settled.records] == [
        ("b", "P", "train"),
        ("c", "Q", "val"),
        ("d", "Q", "val"),
    ]
    assert settled.left_out == {
        "a": "near duplicate of c.jpg (val, bat): 8 of 256 bits differ",
        "e": "near duplicate of c.jpg (val, bat): 4 of 256 bits differ",
    }


def test_equal_bytes_join_groups_of_several_images() -> None:
    listed = of_patients("a train P", "b train P", "c val Q", "d val Q")
    settled = settle(listed, ["x", "b", "x", "d"], [None] * 4, 8, drawn({"P": "train"}))
    assert {(r.group_id, r.split) for r in settled.records} == {("P", "train")}
    assert settled.pairs.done.tolist() == ["joined"]


def test_chance_pairs_do_not_chain_patients() -> None:
    # 60 patients of 20 images each, every one with an image near one of the next patient
    listed, hashes = [], []
    rng = np.random.default_rng(0)
    bits = [rng.bytes(32) for _ in range(60)]
    for patient in range(60):
        for image in range(20):
            name = f"p{patient:02}-{image:02}"
            split = "val" if patient % 5 == 0 else "train"
            listed.append(Record(name, f"{name}.jpg", split, "bat", f"p{patient:02}"))
            shared = {0: bits[patient], 1: bits[(patient + 1) % 60]}
            hashes.append(shared.get(image) or rng.bytes(32))
    settled = settle(listed, [r.image_id for r in listed], hashes, 16, drawn({}))
    assert len({r.group_id for r in settled.records}) == 60
    assert len(settled.pairs) == 60
    assert len(settled.left_out) == 24  # of each val patient's two pairs, the train images
    assert sum(r.split == "val" for r in settled.records) == 240


def test_without_a_radius_only_equal_bytes_are_duplicates() -> None:
    listed = images("a train bat", "b val bat", "c val bat")
    settled = settle(listed, ["x", "y", "z"], [BLANK] * 3, None, None)
    assert settled.left_out == {}
    assert list(settled.pairs.columns) == COLUMNS
    assert len(settled.pairs) == 0


def test_images_without_a_hash_are_no_near_duplicates() -> None:
    listed = images("a train bat", "b val bat", "c val bat")
    settled = settle(listed, ["x", "y", "x"], [None] * 3, 16, None)
    assert settled.left_out == {"a": "same bytes as c.jpg (val, bat)"}
    assert len(settled.pairs) == 1
