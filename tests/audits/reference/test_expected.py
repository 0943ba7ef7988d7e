"""Expected relevance: moments over sparse slots, the floor, and what enters them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.reference import expected as module
from audits.reference.expected import (
    IG_POINTS,
    class_relevance,
    deviation_floor,
    own_images,
    reference,
    slot_moments,
)
from pipeline.artifacts.store import read_table, write_table
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import (
    Codes,
    ablation,
    act_grad,
    decode,
    gradient,
    integrated_gradients,
)


def test_moments_are_those_of_the_dense_matrix():
    rng = np.random.default_rng(0)
    images, k, m = 13, 4, 9
    component = np.stack([rng.permutation(m)[:k] for _ in range(images)])
    # Far from 0 and close together: Σ R² − n μ² in single precision would lose the deviation.
    relevance = 1000 + rng.normal(size=(images, k)).astype(np.float32)
    off = rng.random((images, k)) < 0.3
    component[off], relevance[off] = 0, 0
    dense = np.zeros((images, m))
    for row in range(images):
        for slot in range(k):
            dense[row, component[row, slot]] += relevance[row, slot]
    found = slot_moments(torch.from_numpy(component), torch.from_numpy(relevance), m)
    assert np.allclose(found.mean, dense.mean(axis=0))
    assert np.allclose(found.std, dense.std(axis=0, ddof=1))
    assert found.active.tolist() == (dense != 0).sum(axis=0).tolist()


def test_a_small_deviation_around_a_large_mean_is_kept():
    relevance = torch.tensor([[1000.0], [1000.0], [1000.5], [1000.5], [1000.0]])
    found = slot_moments(torch.full((5, 1), 2), relevance, 3)
    assert found.std[2] == pytest.approx(np.std([0, 0, 0.5, 0.5, 0], ddof=1))
    assert found.mean.tolist() == [0, 0, pytest.approx(1000.2)]


def test_one_image_has_no_deviation():
    moments = slot_moments(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2), 3)
    with pytest.raises(ValueError, match="over 1 images"):
        _ = moments.std


def test_merged_moments_are_those_of_all_images():
    rng = np.random.default_rng(2)
    component = torch.from_numpy(np.stack([rng.permutation(9)[:4] for _ in range(23)]))
    relevance = torch.from_numpy(1000 + rng.normal(size=(23, 4))).float()
    relevance[torch.from_numpy(rng.random((23, 4)) < 0.3)] = 0
    parts = [
        slot_moments(component[rows], relevance[rows], 9)
        for rows in (slice(0, 2), slice(2, 15), slice(15, 16), slice(16, 23))
    ]
    merged = parts[0].merge(parts[1]).merge(parts[2]).merge(parts[3])
    whole = slot_moments(component, relevance, 9)
    assert merged.images == 23
    assert np.allclose(merged.mean, whole.mean, rtol=1e-12)
    assert np.allclose(merged.std, whole.std, rtol=1e-9)
    assert merged.active.tolist() == whole.active.tolist()


def test_blocks_do_not_matter(inputs, monkeypatch):
    whole = reference(inputs)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    for before, after in zip(whole, reference(inputs), strict=True):
        pd.testing.assert_frame_equal(before, after, rtol=1e-5)


def test_half_precision_will_do(inputs):
    half = replace(inputs, x=inputs.x.half())
    (_, before), (_, after) = reference(inputs), reference(half)
    pd.testing.assert_frame_equal(before, after, rtol=0.01)


def test_own_images_are_those_of_a_split_with_a_known_label(inputs):
    images = inputs.images.copy()
    images.loc[[4, 95], "label"] = None
    own = dict(own_images(replace(inputs, images=images), "train"))
    assert list(own) == [0, 1, 2]
    assert own[0].tolist() == [*range(4), *range(5, 60)]
    assert own[1].tolist() == [*range(90, 95), *range(96, 150)]
    assert own[2].tolist() == list(range(180, 240))


def test_the_floor_is_the_deviation_of_one_typical_activation():
    # Slots with relevance: 3, 4 and 5, so R² is 50/3; four images.
    relevance = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0], [5.0, 0.0]])
    moments = slot_moments(torch.tensor([[1, 0], [0, 2], [0, 0], [4, 0]]), relevance, 5)
    assert deviation_floor(moments) == pytest.approx((50 / 3) ** 0.5 / 2)


def test_one_activation_has_the_floor_as_its_deviation():
    relevance = torch.zeros(9, 1)
    relevance[4] = 0.6
    once = slot_moments(torch.full((9, 1), 3), relevance, 5)
    assert deviation_floor(once) == pytest.approx(once.std[3])


def test_a_class_without_relevance_has_no_floor():
    with pytest.raises(ValueError, match="any relevance on 5 images"):
        deviation_floor(slot_moments(torch.zeros(5, 2).long(), torch.zeros(5, 2), 3))


def test_relevance_is_activation_times_gradient(inputs):
    rows, t = torch.tensor([4, 95, 100, 200]), inputs.texts["short"][0]
    component, activation = (part[rows] for part in inputs.codes)
    activation = activation.clone().requires_grad_(True)
    rest = inputs.x[rows] - decode(Codes(component, inputs.codes.activation[rows]), inputs.atoms)
    gathered = (activation[:, :, None] * inputs.atoms[component]).sum(dim=1)
    cosine_outputs(gathered + rest, t[None], inputs.head).sum().backward()
    expected = activation.grad * activation.detach()
    assert torch.allclose(class_relevance(inputs, rows, t), expected, atol=1e-4)
    assert expected.abs().max() > 0.05


def test_every_class_is_measured_on_its_own_train_images(inputs):
    table, classes = reference(inputs)
    assert classes["class"].tolist() == ["n01", "n02", "n03"]
    assert classes["images"].tolist() == [60, 60, 60]
    rows = torch.arange(90, 150)  # train images of n02
    y = cosine_outputs(inputs.x[rows], inputs.texts["short"][1:2], inputs.head)[:, 0].double()
    assert classes["y_mean"][1] == pytest.approx(y.mean().item())
    assert classes["y_std"][1] == pytest.approx(y.numpy().std(ddof=1))
    own = table[(table["class"] == "n02") & (table["component"] == 2)].iloc[0]
    relevance = class_relevance(inputs, rows, inputs.texts["short"][1])[:, 0].double().numpy()
    assert own["count"] == 60
    assert own["mean"] == pytest.approx(relevance.mean())
    assert own["std"] == pytest.approx(relevance.std(ddof=1))
    # Only components that fire have a row: the first of n01 does not on n02.
    assert not ((table["class"] == "n02") & (table["component"] == 1)).any()


def test_other_splits_do_not_matter(inputs):
    val = inputs.split("val")
    x = inputs.x.clone()
    x[val] = 7 * x[val] + 1
    for before, after in zip(reference(inputs), reference(replace(inputs, x=x)), strict=True):
        pd.testing.assert_frame_equal(before, after)


def test_the_order_of_images_does_not_matter(inputs, permuted):
    for before, after in zip(reference(inputs), reference(permuted), strict=True):
        pd.testing.assert_frame_equal(before, after, rtol=1e-4)


def test_a_class_with_one_train_image_is_left_out(inputs):
    images = inputs.images.copy()
    images.loc[1:89, "label"] = None
    table, classes = reference(replace(inputs, images=images))
    assert classes["class"].tolist() == ["n02", "n03"]
    assert set(table["class"]) == {"n02", "n03"}


def test_no_class_at_all_leaves_empty_tables_of_the_same_types(inputs, tmp_path):
    images = inputs.images.assign(label=None)
    for full, empty in zip(
        reference(inputs), reference(replace(inputs, images=images)), strict=True
    ):
        assert empty.empty
        assert [str(t) for t in empty.dtypes] == [str(t) for t in full.dtypes]
        write_table(tmp_path / "t.parquet", empty)
        assert list(read_table(tmp_path / "t.parquet")) == list(full)


def test_a_class_without_relevance_is_left_out(inputs):
    activation = inputs.codes.activation.clone()
    activation[180:270] = 0
    dark = replace(inputs, codes=Codes(inputs.codes.component, activation))
    table, classes = reference(dark)
    assert classes["class"].tolist() == ["n01", "n02"]
    assert set(table["class"]) == {"n01", "n02"}


@pytest.mark.parametrize("kind", ["act_grad", "integrated_gradients", "ablation"])
def test_relevance_is_of_the_kind_that_is_asked_for(inputs, kind):
    rows = torch.tensor([0, 70, 100])
    t = inputs.texts["short"][1]
    x, codes = inputs.tokens(rows), Codes(*(part[rows] for part in inputs.codes))
    asked, atoms, head = t.expand(len(x), -1), inputs.atoms, inputs.head
    expected = {
        "act_grad": act_grad(gradient(x, asked, head), codes, atoms),
        "integrated_gradients": integrated_gradients(x, asked, codes, atoms, head, IG_POINTS),
        "ablation": ablation(x, asked, codes, atoms, head),
    }
    found = class_relevance(inputs, rows, t, kind)
    assert torch.allclose(found, expected.pop(kind), atol=1e-6)
    assert not any(torch.allclose(found, other, atol=1e-4) for other in expected.values())


def test_the_reference_is_of_that_kind_too(inputs):
    table, _ = reference(inputs, "ablation")
    rows = torch.nonzero(inputs.split("train") & (inputs.class_index == 1)).flatten()
    effects = class_relevance(inputs, rows, inputs.texts["short"][1], "ablation").double()
    component = int(inputs.codes.component[rows[0], 0])
    mine = (inputs.codes.component[rows] == component) & (inputs.codes.activation[rows] > 0)
    label = inputs.classes["label"][1]
    found = table[(table["class"] == label) & (table["component"] == component)]["mean"].item()
    assert found == pytest.approx(float(effects[mine].sum()) / len(rows), rel=1e-5)
