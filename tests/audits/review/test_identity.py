"""Ids across re-training: by atoms, then by images, one-to-one, and never used twice."""

import numpy as np
import pytest

from audits.review.identity import Carried, Found, Pin, carry

D = 7
COSINE, IMAGES = 0.7, 0.5


def direction(*entries: float) -> np.ndarray:
    return np.array([*entries, *[0.0] * (D - len(entries))], dtype=np.float16)


def pictures(start: int, stop: int) -> tuple[str, ...]:
    return tuple(f"train/{i:03d}" for i in range(start, stop))


def pin(finding_id: str, atom: np.ndarray, images: tuple[str, ...] = ()) -> Pin:
    label, _, component = finding_id.partition("-")
    return Pin(finding_id, label, int(component.split("-")[0]), atom, images, "unclear")


def found(finding_id: str, *atoms: np.ndarray, images: tuple[str, ...] = ()) -> Found:
    return Found(pin(finding_id, atoms[0], images), np.stack(atoms), frozenset(images))


def ids(carried: list[Carried]) -> list[str]:
    return [one.finding_id for one in carried]


def test_by_the_atom_where_it_is_there_still():
    (carried,) = carry(
        [pin("bat-3", direction(2, 0), pictures(0, 4))],
        [found("bat-9", direction(0, 1), direction(0.8, 0.6), images=pictures(3, 13))],
        COSINE,
        IMAGES,
    )
    assert carried.finding_id == "bat-3"
    assert carried.by == "atom"
    assert carried.cosine == pytest.approx(0.8, abs=1e-3)
    assert carried.shared == 0.25


def test_by_images_where_the_atom_is_not():
    (carried,) = carry(
        [pin("bat-3", direction(1, 0), pictures(0, 50))],
        [found("bat-9", direction(0.6, 0.8), images=pictures(30, 38) + pictures(90, 98))],
        COSINE,
        IMAGES,
    )
    assert carried == Carried("bat-3", "images", pytest.approx(0.6, abs=1e-3), 0.5)


def test_neither_makes_a_new_finding():
    new = [found("bat-9", direction(0.6, 0.8), images=pictures(40, 91))]
    carried = carry([pin("bat-3", direction(1, 0), pictures(0, 50))], new, COSINE, IMAGES)
    assert carried == [Carried("bat-9", None, None, None)]


def test_classes_are_kept_apart():
    new = [found("cat-3", direction(1, 0), images=pictures(0, 5))]
    carried = carry([pin("bat-3", direction(1, 0), pictures(0, 5))], new, COSINE, IMAGES)
    assert carried[0].by is None


def test_one_to_one_and_the_sum_counts():
    # bat-1 is nearest to bat-8, but then bat-2 would have nobody.
    pins = [pin("bat-1", direction(1, 0)), pin("bat-2", direction(0.8, -0.6))]
    new = [found("bat-8", direction(1, 0)), found("bat-9", direction(0.8, 0.6))]
    assert ids(carry(pins, new, COSINE, IMAGES)) == ["bat-2", "bat-1"]


def test_an_atom_goes_before_images():
    pins = [pin("bat-1", direction(1, 0), pictures(0, 9)), pin("bat-2", direction(0, 1))]
    new = [found("bat-8", direction(0, 1), images=pictures(0, 9)), found("bat-9", direction(1, 0))]
    assert [one[:2] for one in carry(pins, new, COSINE, IMAGES)] == [
        ("bat-2", "atom"),
        ("bat-1", "atom"),
    ]


def test_what_an_atom_has_found_is_not_taken_by_images():
    pins = [pin("bat-1", direction(1, 0)), pin("bat-2", direction(0, 1), pictures(0, 10))]
    new = [
        found("bat-8", direction(1, 0), images=pictures(0, 10)),
        found("bat-9", direction(0, 0, 1), images=pictures(4, 14)),
    ]
    assert [one[:2] for one in carry(pins, new, COSINE, IMAGES)] == [
        ("bat-1", "atom"),
        ("bat-2", "images"),
    ]


def test_ids_of_the_last_review_are_never_given_to_others():
    # bat-3 is gone, bat-3-2 is carried over, and two new findings are called like them.
    pins = [pin("bat-3", direction(1)), pin("bat-3-2", direction(0, 1))]
    new = [found("bat-3", direction(0, 0, 1)), found("bat-5", direction(0, 1))]
    assert ids(carry(pins, new, COSINE, IMAGES)) == ["bat-3-3", "bat-3-2"]


def test_an_atom_of_another_width_says_nothing():
    old = Pin("bat-3", "bat", 3, np.ones(D + 2, dtype=np.float16), pictures(0, 4), "unclear")
    new = [found("bat-9", direction(1), images=pictures(0, 4))]
    assert carry([old], new, COSINE, IMAGES) == [Carried("bat-3", "images", 0.0, 1.0)]


def test_nothing_before_and_nothing_now():
    assert carry([], [], COSINE, IMAGES) == []
    assert carry([pin("bat-3", direction(1))], [], COSINE, IMAGES) == []
    assert ids(carry([], [found("bat-3", direction(1))], COSINE, IMAGES)) == ["bat-3"]


def test_the_order_of_pins_does_not_matter():
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(9, D))
    pins = [pin(f"bat-{i}", atom) for i, atom in enumerate(atoms)]
    new = [found(f"bat-{20 + i}", atom + 0.3 * rng.normal(size=D)) for i, atom in enumerate(atoms)]
    carried = carry(pins, new, COSINE, IMAGES)
    assert carry(pins[::-1], new, COSINE, IMAGES) == carried
    assert ids(carried) == [f"bat-{i}" for i in range(9)]
