"""Ids of components across re-training: one-to-one by atoms, and never given twice."""

import numpy as np
import pytest

from audits.review import components
from audits.review.component_files import Components
from audits.review.components import CarriedComponents, carry_components, component_table

D = 9
AXES = np.eye(D)
COSINE = 0.7


def turned(row: int, cosine: float, towards: int = D - 1) -> np.ndarray:
    """An axis turned towards another one, so that this is its cosine with what it was."""
    return cosine * AXES[row] + (1 - cosine**2) ** 0.5 * AXES[towards]


def pinned(atoms: np.ndarray, ids: list[int], next_id: int) -> Components:
    return Components(np.array(ids, dtype=np.int32), atoms.astype(np.float16), next_id)


def ids(carried: CarriedComponents) -> list[int]:
    return carried.components.ids.tolist()


def test_the_first_ids_are_the_indices():
    carried = carry_components(None, AXES[:5], COSINE)
    assert ids(carried) == [0, 1, 2, 3, 4]
    assert carried.components.next_id == 5
    assert carried.carried_over is None
    assert np.isnan(carried.cosine).all()


def test_permuted_turned_and_partly_new():
    before = pinned(AXES[:5], [4, 9, 2, 0, 7], next_id=12)
    now = np.stack([3 * AXES[2], turned(0, 0.6), turned(4, 0.8, 6), AXES[5], AXES[1]])
    carried = carry_components(before, now, COSINE)
    # Of 0 too little is left, 5 is another one, 3 has nothing like it any more.
    assert ids(carried) == [2, 12, 7, 13, 9]
    assert carried.components.next_id == 14
    assert carried.carried_over == pytest.approx(3 / 5)
    assert carried.cosine[[0, 2, 4]] == pytest.approx([1, 0.8, 1], abs=1e-3)
    assert np.isnan(carried.cosine[[1, 3]]).all()
    assert np.array_equal(carried.components.atoms, now.astype(np.float16))


def test_one_to_one_and_the_sum_counts():
    # The first atom is nearest to what was 0, but then the second would have nobody.
    now = np.stack([turned(0, 0.9, 1), AXES[0]])
    carried = carry_components(pinned(np.stack([AXES[0], turned(0, 0.8, 1)]), [5, 3], 6), now, 0.7)
    assert ids(carried) == [3, 5]


def test_more_and_fewer_components_than_before():
    more = carry_components(pinned(AXES[:2], [0, 1], 2), AXES[[3, 1, 2, 0]], COSINE)
    assert ids(more) == [2, 1, 3, 0]
    assert more.carried_over == 1
    fewer = carry_components(pinned(AXES[:4], [0, 1, 2, 3], 4), AXES[[5, 3]], COSINE)
    assert ids(fewer) == [4, 3]
    assert fewer.carried_over == pytest.approx(1 / 4)
    assert fewer.cosine[1] == 1


def test_ids_that_are_gone_are_never_given_again():
    first = carry_components(None, AXES[:4], COSINE)
    second = carry_components(first.components, AXES[[1, 5, 0]], COSINE)
    assert ids(second) == [1, 4, 0]
    # The largest that there was, 4, is gone with axis 5.
    third = carry_components(second.components, AXES[[0, 1]], COSINE)
    assert ids(third) == [0, 1]
    assert third.carried_over == pytest.approx(2 / 3)
    # Axis 3 was 3 at first, and is known no more.
    fourth = carry_components(third.components, AXES[[6, 0, 3]], COSINE)
    assert ids(fourth) == [5, 0, 6]
    assert fourth.components.next_id == 7


def test_atoms_of_another_width_are_all_new():
    carried = carry_components(pinned(AXES[:3], [2, 0, 1], 3), np.eye(D - 2), COSINE)
    assert ids(carried) == list(range(3, 3 + D - 2))
    assert carried.carried_over == 0


def test_the_same_atoms_are_not_matched(monkeypatch):
    atoms = np.random.default_rng(0).normal(size=(6, D)).astype(np.float32)
    before = pinned(atoms, [3, 8, 1, 0, 9, 2], 11)
    matched = carry_components(before, atoms[::-1].copy(), COSINE)
    monkeypatch.delattr(components, "match")
    carried = carry_components(before, atoms, COSINE)
    assert ids(carried) == ids(matched)[::-1] == [3, 8, 1, 0, 9, 2]
    assert carried.components.next_id == 11
    assert carried.cosine.tolist() == [1] * 6
    assert carried.carried_over == 1


def test_the_order_of_what_is_pinned_does_not_matter():
    rng = np.random.default_rng(1)
    atoms = rng.normal(size=(7, D))
    now = atoms + 0.3 * rng.normal(size=(7, D))
    straight = carry_components(pinned(atoms, list(range(7)), 7), now, COSINE)
    back = carry_components(pinned(atoms[::-1], list(range(7))[::-1], 7), now, COSINE)
    assert ids(straight) == ids(back) == list(range(7))


def test_the_table_has_a_row_for_each_component():
    before = pinned(AXES[:2], [6, 5], 7)
    table = component_table(carry_components(before, AXES[[1, 4, 0]], COSINE))
    assert table.dtypes.astype(str).tolist() == ["int32", "int32", "float32"]
    assert table["component"].tolist() == [0, 1, 2]
    assert table["component_id"].tolist() == [5, 7, 6]
    assert table["cosine"].isna().tolist() == [False, True, False]
