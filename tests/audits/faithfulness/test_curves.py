"""Deletion and insertion on invented models whose answers are known."""

import numpy as np
import pandas as pd
import pytest
import torch

from audits.faithfulness.curves import (
    ERROR,
    PROTOCOLS,
    STEPS,
    ablation_correlation,
    audit_faithfulness,
    choose_images,
    equal_subsets,
    evaluate,
    summarise_curve,
)
from audits.faithfulness.orders import METHODS
from pipeline.artifacts.gaps import Gaps
from pipeline.attribution.relevance import Codes, ablation, act_grad, gradient
from pipeline.config import FaithfulnessConfig
from tests.audits.invented import generator, invented, literal_output

CONFIG = FaithfulnessConfig(classes=9, images=9, steps=5, subsets=4, reference_images=20, points=6)


class TestAblationCorrelation:
    active = torch.tensor([[True, True, True, False], [True, True, False, False]])

    def test_of_the_effects_themselves_is_1_of_their_negative_minus_1(self) -> None:
        effects = torch.tensor([[1.0, 2.0, 5.0, 0.0], [3.0, 1.0, 0.0, 0.0]])
        scores = (7 * effects + 2).masked_fill(~self.active, -torch.inf)
        assert ablation_correlation(scores, effects, self.active) == pytest.approx(1)
        assert ablation_correlation(-scores, effects, self.active) == pytest.approx(-1)

    def test_is_the_mean_of_numpys_over_active_slots(self) -> None:
        g = generator()
        scores, effects = torch.randn(2, 4, generator=g), torch.randn(2, 4, generator=g)
        rows = [
            np.corrcoef(scores[row, :size].numpy(), effects[row, :size].numpy())[0, 1]
            for row, size in ((0, 3), (1, 2))
        ]
        found = ablation_correlation(scores, effects, self.active)
        assert found == pytest.approx(np.mean(rows), abs=1e-6)

    def test_constant_images_are_left_out_and_none_left_is_refused(self) -> None:
        effects = torch.tensor([[1.0, 2.0, 5.0, 0.0], [0.1, 0.3, 0.0, 0.0]])
        scores = torch.tensor([[0.1, 0.1, 0.1, 9.0], [1.0, 2.0, 0.0, 0.0]])
        assert ablation_correlation(scores, effects, self.active) == pytest.approx(1)
        with pytest.raises(ValueError, match="none of 2 images"):
            ablation_correlation(torch.full((2, 4), 0.1), effects, self.active)
        with pytest.raises(ValueError, match="none of 2 images"):
            ablation_correlation(scores, effects, torch.zeros(2, 4, dtype=torch.bool))


def test_summary_of_a_curve_by_hand() -> None:
    y = torch.tensor([[1.0, 0.0, 0.5], [3.0, 2.0, 1.0]])
    auc, sem, mean, error = summarise_curve(y, [torch.tensor([0]), torch.tensor([1])])
    # Subset areas 0.5 and 2: sample deviation 1.5/√2, over √2.
    assert (auc, sem) == pytest.approx((1.25, 0.75))
    torch.testing.assert_close(mean, torch.tensor([2.0, 1.0, 0.75]))
    torch.testing.assert_close(error, torch.tensor([1.0, 1.0, 0.25]))


def test_subsets_part_the_images_equally() -> None:
    subsets = equal_subsets(11, 4, generator())
    assert sorted(len(part) for part in subsets) == [2, 3, 3, 3]
    assert sorted(torch.cat(subsets).tolist()) == list(range(11))
    with pytest.raises(ValueError, match=r"3 images cannot make faithfulness\.subsets = 4"):
        equal_subsets(3, 4, generator())


class TestChooseImages:
    target = np.array([2, 0, 0, 0, 1, -1, 2, 2, 0])
    held_out = np.array([True, True, True, False, False, True, True, True, True])
    limits = CONFIG.model_copy(update={"classes": 2, "images": 2})

    def test_limits_hold_and_only_labelled_held_out_images_come(self) -> None:
        rows = choose_images(self.target, self.held_out, self.limits, np.random.default_rng(0))
        assert sorted(self.target[rows]) == [0, 0, 2, 2]
        assert self.held_out[rows].all() and (np.diff(rows) > 0).all()

    def test_the_seed_decides(self) -> None:
        first, again, other = (
            choose_images(self.target, self.held_out, self.limits, np.random.default_rng(seed))
            for seed in (0, 0, 3)
        )
        assert (first == again).all() and (first != other).any()

    def test_no_label_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no validation image has a label"):
            choose_images(np.full(9, -1), self.held_out, self.limits, np.random.default_rng(0))


Result = tuple[dict, dict[str, pd.DataFrame]]


@pytest.fixture(scope="module")
def result() -> Result:
    images, texts, model = invented()
    reference = images.rows(torch.arange(20))
    return audit_faithfulness(images, reference, texts, model, CONFIG, generator(), Gaps())


def test_audit_has_every_protocol_method_and_step(result: Result) -> None:
    metrics, tables = result
    assert set(metrics) == {*PROTOCOLS, "error_dropped", "ablation_correlation"}
    assert set(metrics["error_dropped"]) == set(PROTOCOLS)
    assert set(tables) == set(ERROR)
    for found, table in ((metrics, tables["kept"]), (metrics["error_dropped"], tables["dropped"])):
        assert len(table) == len(PROTOCOLS) * len(METHODS) * (CONFIG.steps + 1)
        mean = table.groupby(["protocol", "method"])["y"].mean()
        for protocol in PROTOCOLS:
            assert set(found[protocol]) == set(METHODS)
            for method in METHODS:
                assert found[protocol][method]["auc"] == pytest.approx(mean[protocol, method])
                assert found[protocol][method]["sem"] > 0


@pytest.mark.parametrize("error", ERROR)
def test_curves_start_where_they_must(error: str, result: Result) -> None:
    images, texts, model = invented()
    every = range(len(model.atoms))
    start, end = (
        np.mean(
            [
                literal_output(images, texts, model, row, list(off), ERROR[error])
                for row in range(36)
            ]
        )
        for off in ((), every)
    )
    table = result[1][error]
    for protocol, y in table[table["step"] == 0].groupby("protocol")["y"]:
        expected = end if protocol == "insertion_local" else start
        assert y.tolist() == pytest.approx([expected] * len(METHODS))


@pytest.mark.parametrize("error", ERROR)
@pytest.mark.parametrize("protocol", ["deletion_global", "deletion_random"])
def test_one_order_for_a_class_is_the_mean_relevance_of_its_reference(
    protocol: str, error: str, result: Result
) -> None:
    images, texts, model = invented()
    total = torch.zeros(CONFIG.steps + 1, dtype=torch.float64)
    for target in range(3):
        own = (images.target == target).nonzero()[:, 0]
        rows = own if protocol == "deletion_global" else torch.arange(20)
        asked = images.rows(rows)
        t = texts[target].expand(len(rows), -1)
        slots = act_grad(gradient(asked.x, t, model.head), asked.codes, model.atoms)
        mean = torch.zeros(len(rows), len(model.atoms), dtype=torch.float64)
        mean = mean.scatter(1, asked.codes.component, slots).mean(dim=0)
        order = [index for index in mean.argsort(descending=True).tolist() if mean[index] != 0]
        for step in range(CONFIG.steps + 1):
            for row in own.tolist():
                off = order[:step]
                total[step] += literal_output(images, texts, model, row, off, ERROR[error])
    table = result[1][error].query("protocol == @protocol and method == 'act_grad'")
    assert table["y"].tolist() == pytest.approx((total / len(images.x)).tolist())


def test_an_evaluation_is_in_the_order_of_the_images() -> None:
    """Classes are worked on one by one; each row belongs to its image all the same."""
    images, texts, model = invented()
    reference = images.rows(torch.arange(20))
    found = evaluate(images, reference, texts, model, CONFIG, generator())
    t = texts[images.target]
    true = act_grad(gradient(images.x, t, model.head), images.codes, model.atoms)
    torch.testing.assert_close(found.scores["act_grad"], true, rtol=1e-9, atol=1e-13)
    effects = ablation(images.x, t, images.codes, model.atoms, model.head)
    torch.testing.assert_close(found.effects, effects, rtol=1e-7, atol=1e-13)
    curve = found.curves["dropped", "deletion_local", "energy"]
    for row in range(len(images.x)):
        true_y = literal_output(images, texts, model, row, [], error=False)
        assert float(curve[row, 0]) == pytest.approx(true_y)


def test_gradients_estimate_the_ablation_best_and_random_not_at_all(result: Result) -> None:
    metrics = result[0]
    correlation = metrics["ablation_correlation"]
    assert correlation["integrated_gradients"] > correlation["energy"]
    assert correlation["act_grad"] > 0.9
    assert abs(correlation["random"]) < 0.3
    for method in ("act_grad", "integrated_gradients"):
        for found in (metrics, metrics["error_dropped"]):
            for protocol in ("deletion_local", "deletion_global"):
                assert found[protocol][method]["auc"] < found[protocol]["random"]["auc"] - 0.02
            inserted = found["insertion_local"]
            assert inserted[method]["auc"] > inserted["random"]["auc"] + 0.02


def test_the_seed_decides_everything(result: Result) -> None:
    images, texts, model = invented()
    reference = images.rows(torch.arange(20))
    again = audit_faithfulness(images, reference, texts, model, CONFIG, generator(), Gaps())
    assert again[0] == result[0]
    for error, table in again[1].items():
        pd.testing.assert_frame_equal(table, result[1][error])


def test_fewer_images_than_subsets_have_curves_without_errors() -> None:
    images, texts, model = invented()
    few, gaps = images.rows(torch.arange(2)), Gaps()
    metrics, tables = audit_faithfulness(few, images, texts, model, CONFIG, generator(), gaps)
    assert metrics["deletion_local"]["act_grad"]["sem"] is None
    assert metrics["deletion_local"]["act_grad"]["auc"] == pytest.approx(
        tables["kept"].groupby(["protocol", "method"])["y"].mean()["deletion_local", "act_grad"]
    )
    assert tables["kept"].columns.tolist() == STEPS
    assert tables["kept"]["sem"].isna().all() and tables["kept"]["y"].notna().all()
    assert gaps.reasons == {
        "faithfulness.sem": "2 images cannot make faithfulness.subsets = 4 subsets: lower it"
    }


def test_one_active_component_an_image_has_curves_without_correlation() -> None:
    images, texts, model = invented()
    alone = images.codes.activation.clone()
    alone[:, 1:] = 0
    single = images._replace(codes=Codes(images.codes.component, alone))
    gaps = Gaps()
    metrics, _ = audit_faithfulness(single, single, texts, model, CONFIG, generator(), gaps)
    assert set(metrics["ablation_correlation"].values()) == {None}
    assert list(gaps.reasons) == ["faithfulness.ablation_correlation"]
