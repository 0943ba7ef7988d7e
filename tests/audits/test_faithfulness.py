"""Deletion and insertion on invented models whose answers are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from audits.faithfulness import (
    METHODS,
    PROTOCOLS,
    Images,
    Model,
    ablation_correlation,
    ablation_effects,
    audit_faithfulness,
    choose_images,
    component_ranks,
    component_scores,
    deletion_curve,
    equal_subsets,
    insertion_curve,
    local_ranks,
    outputs,
    slot_scores,
    summarise_curve,
)
from pipeline.attribution import Codes, Head, decode, logit_lens, unit
from pipeline.config import FaithfulnessConfig

CONFIG = FaithfulnessConfig(classes=9, images=9, steps=5, subsets=4, reference_images=20, points=6)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def invented(n: int = 36, k: int = 6) -> tuple[Images, Model]:
    """Random images made of components of a random dictionary, three prompts."""
    g = generator()
    d, p, m, c = 24, 15, 40, 3

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    head = Head(1 + 0.4 * normal(d), 0.4 * normal(d), 1e-5, normal(d, p))
    atoms, texts = unit(normal(m, d)), unit(normal(c, p))
    component = torch.stack([torch.randperm(m, generator=g)[:k] for _ in range(n)])
    codes = Codes(component, 0.2 + normal(n, k).abs())
    x = decode(codes, atoms) + 0.3 * normal(n, d) + normal(1, d)
    target = torch.arange(n) % c
    model = Model(head, atoms, logit_lens(atoms, texts, head), texts)
    return Images(x, codes, target), model


def literal_output(images: Images, model: Model, row: int, off: list[int]) -> float:
    """y of one image, re-run from its dense activations with some components at 0."""
    a = torch.zeros(len(model.atoms), dtype=torch.float64)
    a[images.codes.component[row]] = images.codes.activation[row]
    rest = images.x[row] - a @ model.atoms
    a[off] = 0
    gamma, beta, eps, w_proj = model.head
    x = a @ model.atoms + rest
    z = ((x - x.mean()) / (x.var(correction=0) + eps).sqrt() * gamma + beta) @ w_proj
    return float(z @ model.texts[images.target[row]] / z.norm())


def test_deletion_and_insertion_are_literal_re_runs() -> None:
    images, model = invented(n=4)
    ranks = local_ranks(torch.rand(4, 6, generator=generator(1)))
    deletion = deletion_curve(images, ranks, model, steps=7)
    insertion = insertion_curve(images, ranks, model, steps=7)
    assert deletion.shape == insertion.shape == (4, 8)
    for row in range(4):
        order = images.codes.component[row, ranks[row].argsort()].tolist()
        for step in range(8):
            kept, removed = order[step:], order[:step]
            assert float(deletion[row, step]) == pytest.approx(
                literal_output(images, model, row, removed), rel=1e-9
            )
            assert float(insertion[row, step]) == pytest.approx(
                literal_output(images, model, row, kept), rel=1e-9
            )


def test_ablation_effects_are_literal_re_runs() -> None:
    images, model = invented(n=3)
    effects = ablation_effects(images, model)
    for row in range(3):
        full = literal_output(images, model, row, [])
        for slot in range(6):
            off = [int(images.codes.component[row, slot])]
            true = full - literal_output(images, model, row, off)
            assert float(effects[row, slot]) == pytest.approx(true, rel=1e-7)


def test_nothing_removed_is_the_true_output_and_the_error_stays() -> None:
    images, model = invented(n=5)
    none, every = torch.zeros(5, 6, dtype=torch.bool), torch.ones(5, 6, dtype=torch.bool)
    for row in range(5):
        assert float(outputs(images, none, model)[row]) == pytest.approx(
            literal_output(images, model, row, [])
        )
    rest = Images(images.x - decode(images.codes, model.atoms), images.codes, images.target)
    torch.testing.assert_close(outputs(images, every, model), outputs(rest, none, model))


def test_the_exact_order_and_the_gradients_beat_random() -> None:
    images, model = invented()
    scores = slot_scores(images, model, 10, generator())
    scores["exact"] = ablation_effects(images, model)
    deletion, insertion = (
        {
            method: float(curve(images, local_ranks(score), model, 5).mean())
            for method, score in scores.items()
        }
        for curve in (deletion_curve, insertion_curve)
    )
    for method in ("exact", "act_grad", "integrated_gradients"):
        assert deletion[method] < deletion["random"] - 0.02
        assert insertion[method] > insertion["random"] + 0.02
    assert deletion["act_grad"] < deletion["energy"]


def test_scores_of_one_slot_by_hand() -> None:
    # Without bias and eps, with unit weights: y is the cosine of the centred x with the prompt.
    head = Head(torch.ones(3), torch.zeros(3), 0.0, torch.eye(3))
    atoms = torch.tensor([[0.0, 0.0, 1.0], [0.5**0.5, -(0.5**0.5), 0.0]])
    texts = torch.tensor([[0.5**0.5, -(0.5**0.5), 0.0]])
    model = Model(head, atoms, logit_lens(atoms, texts, head), texts)
    images = Images(
        torch.tensor([[1.0, 1.0, -2.0]]),
        Codes(torch.tensor([[1, 0]]), torch.tensor([[2.0, 0.0]])),
        torch.tensor([0]),
    )
    scores = slot_scores(images, model, 3, generator())
    assert set(scores) == set(METHODS)
    # x is centred and y is 0, so that ∂y/∂x = t/‖x‖ with ‖x‖ = √6; V is t itself.
    assert float(scores["act_grad"][0, 0]) == pytest.approx(2 / 6**0.5, rel=1e-5)
    assert float(scores["logit_lens"][0, 0]) == pytest.approx(1, rel=1e-6)
    assert float(scores["act_logit_lens"][0, 0]) == pytest.approx(2, rel=1e-6)
    assert float(scores["energy"][0, 0]) == pytest.approx(2, rel=1e-6)
    assert all(float(score[0, 1]) == -float("inf") for score in scores.values())


def test_local_ranks_put_empty_slots_last() -> None:
    scores = torch.tensor([[0.1, -torch.inf, -5.0, 3.0], [2.0, 1.0, 4.0, 3.0]])
    assert local_ranks(scores).tolist() == [[1, 3, 2, 0], [2, 3, 0, 1]]


class TestComponentScores:
    codes = Codes(
        torch.tensor([[2, 0], [2, 1], [0, 0]]), torch.tensor([[1.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    )
    scores = torch.tensor([[6.0, 3.0], [-3.0, -9.0], [-torch.inf, -torch.inf]])

    def test_mean_over_all_images(self) -> None:
        found = component_scores("act_grad", self.scores, self.codes, 4, generator())
        torch.testing.assert_close(found, torch.tensor([1.0, -3.0, 1.0, -torch.inf]))
        assert component_ranks(found).tolist() == [0, 2, 1, 3]

    def test_logit_lens_stays_as_it_is(self) -> None:
        lens = torch.tensor([[0.5, -0.2], [0.5, 0.9], [-torch.inf, -torch.inf]])
        found = component_scores("logit_lens", lens, self.codes, 4, generator())
        torch.testing.assert_close(found, torch.tensor([-0.2, 0.9, 0.5, -torch.inf]))

    def test_random_orders_the_active_ones_only(self) -> None:
        found = component_scores("random", self.scores, self.codes, 4, generator())
        assert found.isfinite().tolist() == [True, True, True, False]
        again = component_scores("random", self.scores, self.codes, 4, generator())
        other = component_scores("random", self.scores, self.codes, 4, generator(1))
        assert found.equal(again) and not found.equal(other)


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


@pytest.fixture(scope="module")
def result() -> tuple[dict, pd.DataFrame]:
    images, model = invented()
    reference = images.rows(torch.arange(20))
    return audit_faithfulness(images, reference, model, CONFIG, generator())


def test_audit_has_every_protocol_method_and_step(result: tuple[dict, pd.DataFrame]) -> None:
    metrics, table = result
    assert set(metrics) == {*PROTOCOLS, "ablation_correlation"}
    assert all(set(metrics[name]) == set(METHODS) for name in metrics)
    assert len(table) == len(PROTOCOLS) * len(METHODS) * (CONFIG.steps + 1)
    mean = table.groupby(["protocol", "method"])["y"].mean()
    for protocol in PROTOCOLS:
        for method in METHODS:
            assert metrics[protocol][method]["auc"] == pytest.approx(mean[protocol, method])
            assert metrics[protocol][method]["sem"] > 0


def test_curves_start_and_end_where_they_must(result: tuple[dict, pd.DataFrame]) -> None:
    images, model = invented()
    start = float(outputs(images, torch.zeros(36, 6, dtype=torch.bool), model).mean())
    end = float(outputs(images, torch.ones(36, 6, dtype=torch.bool), model).mean())
    first = result[1][result[1]["step"] == 0].groupby("protocol")["y"]
    for protocol, y in first:
        expected = end if protocol == "insertion_local" else start
        assert y.tolist() == pytest.approx([expected] * len(METHODS))


@pytest.mark.parametrize("protocol", ["deletion_global", "deletion_random"])
def test_one_order_for_a_class_is_the_mean_relevance_of_its_reference(
    protocol: str, result: tuple[dict, pd.DataFrame]
) -> None:
    images, model = invented()
    total = torch.zeros(CONFIG.steps + 1, dtype=torch.float64)
    for target in range(3):
        own = (images.target == target).nonzero()[:, 0]
        rows = own if protocol == "deletion_global" else torch.arange(20)
        reference = images.rows(rows).asked(target)
        slots = slot_scores(reference, model, 1, generator())["act_grad"]
        mean = torch.zeros(len(rows), len(model.atoms), dtype=torch.float64)
        mean = mean.scatter(1, reference.codes.component, slots).mean(dim=0)
        order = [index for index in mean.argsort(descending=True).tolist() if mean[index] != 0]
        for step in range(CONFIG.steps + 1):
            for row in own.tolist():
                total[step] += literal_output(images, model, row, order[:step])
    table = result[1].query("protocol == @protocol and method == 'act_grad'")
    assert table["y"].tolist() == pytest.approx((total / len(images.x)).tolist())


def test_gradients_estimate_the_ablation_best_and_random_not_at_all(
    result: tuple[dict, pd.DataFrame],
) -> None:
    metrics = result[0]
    correlation = metrics["ablation_correlation"]
    assert correlation["integrated_gradients"] > correlation["energy"]
    assert correlation["act_grad"] > 0.9
    assert abs(correlation["random"]) < 0.3
    for protocol in ("deletion_local", "deletion_global"):
        assert metrics[protocol]["act_grad"]["auc"] < metrics[protocol]["random"]["auc"]


def test_the_seed_decides_everything(result: tuple[dict, pd.DataFrame]) -> None:
    images, model = invented()
    reference = images.rows(torch.arange(20))
    again = audit_faithfulness(images, reference, model, CONFIG, generator())
    assert again[0] == result[0]
    pd.testing.assert_frame_equal(again[1], result[1])
