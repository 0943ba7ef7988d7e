"""What counts as a distractor, and where the sets come from."""

import numpy as np
import pandas as pd
import pytest
import torch

from audits.robustness.distractors import (
    READY_MADE,
    Distractors,
    component_columns,
    finding_distractors,
    read_ready_made,
    sets_table,
    strong_activation,
)
from pipeline.artifacts.store import write_table
from pipeline.attribution.relevance import Codes


def test_strong_is_the_lower_quartile_of_the_active():
    assert strong_activation(np.array([0, 4.0, 0, 2.0, 1.0, 3.0, 5.0, 0])) == 2.0


def test_strong_needs_an_activation():
    with pytest.raises(ValueError, match="active on none"):
        strong_activation(np.zeros(3))


def test_columns_hold_what_a_scan_of_all_slots_finds():
    rng = np.random.default_rng(0)
    component = np.stack([rng.permutation(40)[:5] for _ in range(70)])
    activation = rng.uniform(0.1, 3, (70, 5)) * (rng.random((70, 5)) > 0.3)
    component[activation == 0] = 0  # as empty slots are
    codes = Codes(torch.from_numpy(component), torch.from_numpy(activation).float())
    wanted = [7, 0, 39, 7]
    parts = [Codes(*(part[rows] for part in codes)) for rows in (slice(0, 9), slice(9, None))]
    found = component_columns(parts, wanted, 41)
    assert found.shape == (70, 4)
    assert (found.data > 0).all()
    for column, j in enumerate(wanted):
        scan = np.where(component == j, activation, 0).max(axis=1)
        assert np.allclose(found[:, [column]].toarray()[:, 0], scan)


def test_no_components_have_no_columns():
    codes = Codes(torch.tensor([[1, 2], [0, 0]]), torch.tensor([[0.5, 2], [0, 0]]))
    assert component_columns([codes], [], 4).shape == (2, 0)


def made(order: np.ndarray):
    """Nine images of two classes, one component: found on 0 to 2, candidates are 3 to 8."""
    activation = np.array([1.0, 2.0, 3.0, 1.4, 1.5, 1.6, 9.0, 0.0, 9.0])[order]
    codes = Codes(torch.zeros(9, 1, dtype=torch.long), torch.from_numpy(activation)[:, None])
    findings = pd.DataFrame(
        {"finding_id": ["bat-0"], "class": ["bat"], "component": [0], "mode": ["compound"]}
    )
    place = np.argsort(order)
    return (
        findings,
        {"bat-0": place[:3]},
        component_columns([codes], [0], 1),
        {"cat": 0, "bat": 1},
        (np.arange(9) >= 3)[order],
        np.array([0, 0, 0, 0, 0, 0, 1, 0, -1])[order],
    )


def test_distractors_fire_as_strongly_as_the_finding_s_images():
    (found,) = finding_distractors(*made(np.arange(9)))
    # From the quartile 1.5 on; 6 is of the class itself.
    assert found.rows.tolist() == [4, 5, 8]
    assert (found.finding_id, found.mode, found.position) == ("bat-0", "compound", 1)


def test_the_order_of_images_does_not_matter():
    order = np.random.default_rng(3).permutation(9)
    (found,) = finding_distractors(*made(order))
    assert sorted(order[found.rows]) == [4, 5, 8]


def test_a_finding_whose_component_is_silent_is_named():
    findings, _, *rest = made(np.arange(9))
    with pytest.raises(ValueError, match=r"finding bat-0: .*active on none"):
        finding_distractors(findings, {"bat-0": np.array([7])}, *rest)


def test_sets_are_kept_by_name_where_they_are_large_enough():
    ids, classes = pd.Series(["b", "c", "a", "001"]), pd.Series(["n02", "n01"])
    sets = [
        Distractors("n01-4", "compound", 1, np.array([0, 2, 3])),
        Distractors("n02-7", "unclear", 0, np.array([1])),
    ]
    rows = sets_table(sets, ids, classes, 2).to_pylist()
    found = {"finding_id": "n01-4", "mode": "compound", "class": "n01"}
    assert rows == [found | {"image_ids": ["001", "a", "b"]}]
    empty = sets_table([], ids, classes, 2)
    assert empty.schema == sets_table(sets, ids, classes, 2).schema


def test_the_dataset_s_own_sets_are_found_by_image_id(tmp_path):
    ids, classes = pd.Series(["a", "b", "c", "001"]), pd.Series(["n02", "n01"])
    columns = ["image_id", "label", "set"]
    write_table(tmp_path / "distractors.csv", pd.DataFrame(columns=columns))
    assert read_ready_made(tmp_path, ids, classes) == []
    table = pd.DataFrame(
        {
            "image_id": ["c", "001", "a", "b"],
            "label": ["n01", "n01", "n03", "n01"],
            "set": ["wings", "wings", "hooves", "tails"],
        }
    )
    write_table(tmp_path / "distractors.csv", table)
    found = {s.finding_id: s for s in read_ready_made(tmp_path, ids, classes)}
    assert {name: s.rows.tolist() for name, s in found.items()} == {
        "wings": [2, 3],
        "hooves": [0],
        "tails": [1],
    }
    # A class that this dataset does not have is kept, to be left out with a reason.
    assert [found[name].position for name in ("wings", "hooves", "tails")] == [1, -1, 1]
    assert found["wings"].mode == READY_MADE
    with pytest.raises(ValueError, match=r"distractors\.csv lists c, which has no embedding"):
        read_ready_made(tmp_path, ids[:2], classes)
