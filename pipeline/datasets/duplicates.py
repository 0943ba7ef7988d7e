"""Duplicates: images of equal bytes, and near duplicates by perceptual hash.

The hash is imagehash's phash of 256 bits: which of the 16 x 16 lowest frequencies of the picture
exceed their median. It hardly changes when a photograph is re-encoded or resized. Pictures
with next to no contrast or detail (black frames, plain gradients) would all have the same hash, so
these have none and are compared by their bytes alone.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

import imagehash
import numpy as np
import pandas as pd
from jaxtyping import Int64, UInt64
from PIL import Image

from pipeline.datasets import Record
from pipeline.datasets.groups import connected

__all__ = ["COLUMNS", "HASH_BYTES", "Settled", "near_pairs", "perceptual_hash", "settle"]

COLUMNS = ["image_id", "other_id", "distance", "exact", "labels_differ", "done"]
HASH_SIZE = 16
HASH_BYTES = HASH_SIZE**2 // 8
SIDE = 4 * HASH_SIZE  # pixels that phash looks at
MIN_CONTRAST = 2.0  # standard deviation of the grey levels, of 255
MIN_ONES = 3 * HASH_SIZE**2 // 8
"""Set bits; half are, but fewer where many frequencies are missing and so equal their median."""
MAX_PAIRS = 1_000_000
YIELDS = (("test", ("val",)), ("train", ("val", "test")))
"""Which split gives way to which, in this order."""


class Pair(NamedTuple):
    """Two images, by their positions."""

    one: int
    other: int
    """Larger than one."""
    distance: int
    exact: bool


class Settled(NamedTuple):
    """What was found and what is to be done about it."""

    records: list[Record]
    """The images that stay, in their order, with the group and split that they now have."""
    left_out: dict[str, str]
    """Reason by image_id."""
    pairs: pd.DataFrame
    """Columns COLUMNS, sorted. A copy of equal bytes is paired with the first one (by image_id),
    and only the first with near duplicates. `distance` is a count of bits, 0 for equal bytes;
    `done` says `kept`, `joined` (their groups are one now), or `left out:` and which."""


def perceptual_hash(image: Image.Image) -> bytes | None:
    """256 bits of an RGB picture; None where it holds too little to tell pictures apart by."""
    grey = image.convert("L")
    # Shrinking by a whole number first is several times faster on large photographs.
    grey = grey.reduce(max(1, min(image.size) // (4 * SIDE)))
    small = grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    if np.asarray(small).std() < MIN_CONTRAST:
        return None
    bits = imagehash.phash(small, hash_size=HASH_SIZE).hash
    return np.packbits(bits).tobytes() if bits.sum() >= MIN_ONES else None


def settle(
    records: list[Record],
    sha256: list[str],
    hashes: list[bytes | None],
    radius: int | None,
    redraw: Callable[[str], str] | None,
) -> Settled:
    """Find the duplicates, and see to it that none straddles splits or contradicts itself.

    Equal bytes under two labels: the later image is left out. After that, where splits are drawn,
    the groups of equal bytes, and of near duplicates that are each alone in their group, become
    one, named as the smallest of them, and its split is drawn anew. Near duplicates join no groups
    of several images: one pair by chance would join two patients, and a few hundred chain most of
    a dataset's into one. A train image with a duplicate in val or test is then left out, and so is
    a test image with one in val. Equal bytes in one split under one label stay, and so do near
    duplicates in one split whatever their labels. Unknown is no label.

    Args:
        records: the images, sorted by image_id.
        sha256: of the bytes of each.
        hashes: perceptual hash of each; None where it has none.
        radius: largest distance of near duplicates in bits; None looks for equal bytes alone.
        redraw: split of a group, where splits are drawn; None where they are given.

    Raises:
        ValueError: there are more than MAX_PAIRS near duplicates.
    """
    pairs = _exact_pairs(sha256)
    if radius is not None:
        repeated = {pair.other for pair in pairs}
        hashed = [i for i, h in enumerate(hashes) if h is not None and i not in repeated]
        pairs += _near_pairs(hashed, hashes, radius)
    pairs.sort()
    copies = _copies(pairs)
    left_out = _contradictions(records, copies)
    settled = records if redraw is None else _joined(records, pairs, redraw)
    left_out |= _straddling(settled, pairs, copies, left_out)
    return Settled(
        [record for record in settled if record.image_id not in left_out],
        left_out,
        _table(records, settled, pairs, left_out),
    )


def near_pairs(
    hashes: UInt64[np.ndarray, "n 4"], radius: int
) -> tuple[Int64[np.ndarray, "p 2"], Int64[np.ndarray, " p"]]:
    """All pairs of hashes that differ in at most radius bits, and in how many.

    Of more bands than radius, two such hashes share at least one (pigeonhole), so only hashes with
    an equal band are compared. The bits of a band are spread over the hash, for neighbouring
    frequencies are alike. Memory grows with n and the pairs found, time with n² (radius + 1) /
    2^(256 / (radius + 1)): up to a radius of 16 it is short for a million hashes, from 24 on hours.

    Returns:
        Positions, the smaller first, sorted; and the distance of each pair, count of bits.

    Raises:
        ValueError: there are more than MAX_PAIRS.
    """
    n = len(hashes)
    bands = max(radius + 1, 4)  # with 4, a band fits into 64 bits
    found: set[int] = set()
    for band in range(bands):
        key = _band(hashes, band, bands)
        order = np.argsort(key, kind="stable")
        key = key[order]
        words = np.ascontiguousarray(hashes[order].T)
        left = np.arange(n)
        # A pair of equal keys is `shift` apart in this order, and so are all keys between.
        for shift in range(1, n):
            left = left[: np.searchsorted(left, n - shift)]
            left = left[key[left] == key[left + shift]]
            if not len(left):
                break
            near = left
            distance = np.zeros(len(near), dtype=np.int64)
            for word in words:
                distance += np.bitwise_count(word[near] ^ word[near + shift])
                near, distance = near[distance <= radius], distance[distance <= radius]
            one, other = order[near], order[near + shift]
            found.update((np.minimum(one, other) * n + np.maximum(one, other)).tolist())
            if len(found) > MAX_PAIRS:
                raise ValueError(
                    f"near_duplicates is {radius}: more than {MAX_PAIRS} pairs of images are that "
                    "alike. Lower it, or set it to null to look for equal bytes alone"
                )
    pairs = np.array(sorted(found), dtype=np.int64)
    positions = np.stack([pairs // max(n, 1), pairs % max(n, 1)], axis=1)
    differing = hashes[positions[:, 0]] ^ hashes[positions[:, 1]]
    return positions, np.bitwise_count(differing).sum(axis=1, dtype=np.int64)


def _band(hashes: np.ndarray, band: int, bands: int) -> np.ndarray:
    """Bits band, band + bands, band + 2 bands and so on of each hash as one number."""
    key = np.zeros(len(hashes), dtype=np.uint64)
    for bit in range(band, 8 * HASH_BYTES, bands):
        key = (key << np.uint64(1)) | (hashes[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)
    return key


def _exact_pairs(sha256: list[str]) -> list[Pair]:
    first: dict[str, int] = {}
    pairs = (Pair(first.setdefault(sha, i), i, 0, True) for i, sha in enumerate(sha256))
    return [pair for pair in pairs if pair.one != pair.other]


def _near_pairs(hashed: list[int], hashes: list[bytes | None], radius: int) -> list[Pair]:
    """Near duplicates among the images at these positions."""
    content = b"".join(hashes[i] or b"" for i in hashed)
    positions, distances = near_pairs(np.frombuffer(content, dtype="<u8").reshape(-1, 4), radius)
    return [
        Pair(hashed[one], hashed[other], distance, False)
        for (one, other), distance in zip(positions.tolist(), distances.tolist(), strict=True)
    ]


def _copies(pairs: list[Pair]) -> dict[int, list[int]]:
    """Positions of equal bytes by the first of them, and each paired image that has no copy."""
    copies: dict[int, list[int]] = {}
    for pair in pairs:
        copies.setdefault(pair.one, [pair.one])
        if pair.exact:
            copies[pair.one].append(pair.other)
        else:
            copies.setdefault(pair.other, [pair.other])
    return copies


def _contradictions(records: list[Record], copies: dict[int, list[int]]) -> dict[str, str]:
    """Reason by image_id of each image whose bytes an earlier one has under another label."""
    reasons = {}
    for positions in copies.values():
        labelled = [records[i] for i in positions if records[i].label is not None]
        for record in labelled[1:]:
            if record.label != labelled[0].label:
                reasons[record.image_id] = f"same bytes as {_said(labelled[0])}"
    return reasons


def _straddling(
    records: list[Record],
    pairs: list[Pair],
    copies: dict[int, list[int]],
    left_out: dict[str, str],
) -> dict[str, str]:
    """Reason by image_id of each image that gives way to a duplicate in another split."""
    distances: dict[int, dict[int, int]] = defaultdict(dict)
    for pair in pairs:
        if not pair.exact:
            distances[pair.one][pair.other] = distances[pair.other][pair.one] = pair.distance
    reasons: dict[str, str] = {}
    for split, stronger in YIELDS:
        for first, positions in copies.items():
            alike = {first: -1} | distances[first]  # equal bytes before near duplicates
            holders = [
                (distance, i)
                for node, distance in alike.items()
                for i in copies[node]
                if records[i].split in stronger
                and records[i].image_id not in left_out
                and records[i].image_id not in reasons
            ]
            for i in positions if holders else []:
                if records[i].split == split and records[i].image_id not in left_out:
                    distance, holder = min(holders)
                    reasons[records[i].image_id] = _reason(records[holder], distance)
    return reasons


def _reason(holder: Record, distance: int) -> str:
    if distance < 0:
        return f"same bytes as {_said(holder)}"
    return f"near duplicate of {_said(holder)}: {distance} of {8 * HASH_BYTES} bits differ"


def _said(record: Record) -> str:
    return f"{record.path} ({record.split}, {record.label or 'unknown'})"


def _joined(records: list[Record], pairs: list[Pair], redraw: Callable[[str], str]) -> list[Record]:
    """The images with the groups of their duplicates joined, and the splits drawn for these."""
    size = Counter(record.group_id for record in records)
    ends = [(pair, records[pair.one].group_id, records[pair.other].group_id) for pair in pairs]
    joined = connected(
        (one, other) for pair, one, other in ends if pair.exact or size[one] == size[other] == 1
    )
    return [
        record
        if joined.get(record.group_id, record.group_id) == record.group_id
        else record._replace(
            group_id=joined[record.group_id], split=redraw(joined[record.group_id])
        )
        for record in records
    ]


def _table(
    records: list[Record], settled: list[Record], pairs: list[Pair], left_out: dict[str, str]
) -> pd.DataFrame:
    rows = []
    for pair in pairs:
        one, other = records[pair.one], records[pair.other]
        out = [record.image_id for record in (one, other) if record.image_id in left_out]
        now_one = settled[pair.one].group_id == settled[pair.other].group_id
        done = "joined" if now_one and one.group_id != other.group_id else "kept"
        differ = None not in (one.label, other.label) and one.label != other.label
        rows.append(
            (
                one.image_id,
                other.image_id,
                pair.distance,
                pair.exact,
                differ,
                f"left out: {' '.join(out)}" if out else done,
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)
