"""Shortcuts of a linear classifier on invented embeddings with a planted one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from audits.inputs import Inputs
from audits.shortcut.classifiers import (
    Group,
    accuracies,
    activations_of,
    audit_shortcut,
    augmented,
    half_of_groups,
    labelled_rows,
    latent_direction,
    read_shift,
    responding_component,
    scores,
    train_classifier,
)
from audits.shortcut.suspects import COLUMNS, Relevance, rank_components, relevance
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.store import vector_column, write_shard
from pipeline.attribution.head import Head, project, unit
from pipeline.attribution.relevance import Codes, decode
from pipeline.config import ConfigError, ShortcutConfig

CONFIG = ShortcutConfig(
    positive="MEL",
    repeats=3,
    top=4,
    red_shift={"added": -1.0, "removed": 0.2},
    alpha=20.0,
    quantiles=(0.4, 0.9),
)
RED, LESION, COMPONENTS, WIDTH = 5, 2, 9, 12


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lesions(n: int = 600) -> Inputs:
    """Images whose red speaks strongly against melanoma, a lesion feature weakly for it."""
    g = generator()
    atoms = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=g)).Q[:COMPONENTS]
    positive = torch.rand(n, generator=g) < 0.4
    red = torch.rand(n, generator=g) < torch.where(positive, 0.02, 0.75)
    lesion = torch.rand(n, generator=g) < torch.where(positive, 0.65, 0.4)
    noise = torch.randint(6, COMPONENTS, (n,), generator=g)
    component = torch.stack([torch.full((n,), RED), torch.full((n,), LESION), noise], dim=1)
    strength = 2 + 0.3 * torch.rand(n, 3, generator=g)
    activation = strength * torch.stack([red, lesion, torch.ones(n)], dim=1)
    codes = Codes(component.masked_fill(activation == 0, 0), activation)
    base = torch.randn(1, WIDTH, generator=g)
    x = decode(codes, atoms) + base + 0.1 * torch.randn(n, WIDTH, generator=g)
    head = Head(
        1 + 0.2 * torch.randn(WIDTH, generator=g),
        0.2 * torch.randn(WIDTH, generator=g),
        1e-5,
        torch.linalg.qr(torch.randn(WIDTH, 10, generator=g)).Q,
    )
    images = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "split": np.where(np.arange(n) % 3 == 0, "val", "train"),
            "label": np.where(positive.numpy(), "MEL", "NV"),
            "group_id": [f"g{row // 2}" for row in range(n)],
        }
    )
    classes = pd.DataFrame({"label": ["MEL", "NV"]})
    return Inputs(images, x, codes, head, atoms, torch.zeros(WIDTH), classes, {})


def labels_table() -> pd.DataFrame:
    kinds: list[str | None] = [
        None,
        "lesion",
        "lesion",
        None,
        "context",
        "context",
        None,
        None,
        None,
    ]
    return pd.DataFrame(
        {
            "component": range(COMPONENTS),
            "label": [None if kind is None else f"term {i}" for i, kind in enumerate(kinds)],
            "kind": pd.array(kinds, dtype="string"),
            "top_images": [[f"a{i}", f"b{i}"] for i in range(COMPONENTS)],
        }
    )


def reddened(inputs: Inputs) -> tuple[Tensor, Codes, Tensor]:
    """Held-out images: with red added, their codes, and with red removed."""
    held_out = inputs.split("val")
    codes = Codes(*(part[held_out] for part in inputs.codes))
    current = activations_of(codes, torch.tensor([RED]))
    x, atom = inputs.x[held_out], inputs.atoms[RED]
    activation = codes.activation.clone()
    activation[:, 0] = 2.2
    component = codes.component.clone()
    component[:, 0] = RED
    return x + (2.2 - current) * atom, Codes(component, activation), x - current * atom


class TestClassifier:
    def test_threshold_is_probability_one_half(self) -> None:
        inputs = lesions()
        positive = torch.tensor((inputs.images["label"] == "MEL").to_numpy())
        model = train_classifier(inputs.x, positive, inputs.head)
        z = unit(project(inputs.x, inputs.head)).double().numpy()
        said = model.predict_proba(z)[:, 1] > 0.5
        assert ((scores(model, inputs.x, inputs.head) > 0) == said).all()
        found = accuracies(model, Group(inputs.x, positive), inputs.head)
        assert found["positive"] == pytest.approx(said[positive.numpy()].mean())
        assert found["negative"] == pytest.approx((~said[~positive.numpy()]).mean())

    def test_both_classes_weigh_the_same(self) -> None:
        """At 1 to 9 and without a signal, half of either side is right, not all or none."""
        g = generator()
        x, positive = torch.randn(2000, WIDTH, generator=g), torch.arange(2000) % 10 == 0
        inputs = lesions(6)
        model = train_classifier(x, positive, inputs.head)
        found = accuracies(model, Group(x, positive), inputs.head)
        assert 0.4 < found["positive"] < 0.7 and 0.4 < found["negative"] < 0.7

    def test_one_class_is_refused(self) -> None:
        inputs = lesions(6)
        with pytest.raises(ValueError, match="0 of 6 train images are positive"):
            train_classifier(inputs.x, torch.zeros(6, dtype=torch.bool), inputs.head)


class TestRelevance:
    def test_by_hand(self) -> None:
        # The gradient is w/‖x‖ for w orthogonal to x and to (1, 1, 1).
        head = Head(torch.ones(3), torch.zeros(3), 0.0, torch.eye(3))
        x = torch.tensor([[1.0, 1.0, -2.0], [1.0, 1.0, -2.0]])
        w = torch.tensor([1.0, -1.0, 0.0])
        atoms = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        codes = Codes(torch.tensor([[0, 1], [2, 1]]), torch.tensor([[6.0, 1.0], [9.0, 2.0]]))
        found = relevance(x, codes, w, head, atoms)
        # R: 6/√6 for 0; −1/√6 and −2/√6 for 1; 0 for 2.
        torch.testing.assert_close(found.share.float(), torch.tensor([6 / 9, 3 / 9, 0.0]))
        mean = torch.tensor([3.0, -1.5, 0.0]) / 6**0.5
        torch.testing.assert_close(found.mean.float(), mean)
        torch.testing.assert_close(found.activation.float(), torch.tensor([3.0, 1.5, 4.5]))

    def test_a_dead_dictionary_is_refused(self) -> None:
        inputs = lesions(6)
        dead = Codes(inputs.codes.component, torch.zeros(6, 3))
        with pytest.raises(ValueError, match="no component has any relevance"):
            relevance(inputs.x, dead, torch.ones(10), inputs.head, inputs.atoms)

    def test_the_planted_red_dominates_and_speaks_against_melanoma(self) -> None:
        inputs = lesions()
        positive = torch.tensor((inputs.images["label"] == "MEL").to_numpy())
        model = train_classifier(inputs.x, positive, inputs.head)
        w = torch.tensor(model.coef_[0]).float()
        found = relevance(inputs.x, inputs.codes, w, inputs.head, inputs.atoms)
        assert float(found.share.sum()) == pytest.approx(1)
        assert int(found.share.argmax()) == RED
        assert float(found.mean[RED]) < 0 < float(found.mean[LESION])


def test_ranked_components_carry_label_kind_and_suspicion() -> None:
    share = torch.tensor([0.0, 0.1, 0.2, 0.05, 0.05, 0.4, 0.1, 0.05, 0.05], dtype=torch.float64)
    table = rank_components(Relevance(share, -share, 2 * share), labels_table(), top=3)
    assert list(table.columns) == COLUMNS
    assert table["component"].tolist() == [5, 2, 1]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["suspect"].tolist() == [True, False, False]
    assert table["label"].tolist() == ["term 5", "term 2", "term 1"]
    assert table["mean_relevance"].tolist() == pytest.approx([-0.4, -0.2, -0.1])
    assert table["top_images"].tolist() == ["a5 b5", "a2 b2", "a1 b1"]


def test_unlabelled_components_are_not_suspect() -> None:
    share = torch.full((COMPONENTS,), 1 / COMPONENTS, dtype=torch.float64)
    table = rank_components(Relevance(share, share, share), labels_table(), top=50)
    assert len(table) == COMPONENTS
    assert table["suspect"].tolist() == [component in (4, 5) for component in table["component"]]


def test_activations_of_some_components() -> None:
    codes = Codes(torch.tensor([[3, 1], [0, 0], [1, 0]]), torch.tensor([[2, 5], [0, 0], [4, 0.0]]))
    assert activations_of(codes, torch.tensor([1, 3, 0, 8])).tolist() == [
        [5, 2, 0, 0],
        [0, 0, 0, 0],
        [4, 0, 0, 0],
    ]


def test_the_component_that_rises_most_responds() -> None:
    plain = Codes(torch.tensor([[3, 1], [3, 2]]), torch.tensor([[2.0, 5.0], [2.0, 1.0]]))
    added = Codes(torch.tensor([[3, 1], [3, 2]]), torch.tensor([[4.0, 6.0], [4.0, 9.0]]))
    assert responding_component(plain, added, torch.tensor([1, 3])) == (3, 2.0)
    assert responding_component(plain, added, torch.tensor([1, 3, 2])) == (2, 4.0)
    with pytest.raises(ValueError, match=r"raise shortcut\.top"):
        responding_component(plain, added, torch.tensor([], dtype=torch.long))


class TestLatentAugmentation:
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 8.0], [6.0, 2.0], [9.0, 9.0]])

    def test_direction_by_hand(self) -> None:
        activation = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
        found = latent_direction(self.x, activation, (0.25, 0.5))
        # Above 3: the last two; at or below 2: the first two.
        torch.testing.assert_close(found, torch.tensor([7.5 - 1.0, 5.5 - 0.0]))

    def test_a_component_that_is_mostly_off_parts_on_from_off(self) -> None:
        activation = torch.tensor([0.0, 0.0, 7.0, 0.0, 0.0])
        found = latent_direction(self.x, activation, (0.25, 0.5))
        torch.testing.assert_close(found, self.x[2] - self.x[[0, 1, 3, 4]].mean(dim=0))

    def test_a_constant_activation_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"shortcut\.quantiles"):
            latent_direction(self.x, torch.full((5,), 2.0), (0.25, 0.5))

    def test_noise_is_along_the_direction_centred_and_of_width_alpha(self) -> None:
        x, u = torch.zeros(4000, 2), torch.tensor([3.0, -6.0])
        noise = augmented(x, u, 0.5, generator())
        steps = noise[:, 0] / 3
        torch.testing.assert_close(noise, steps[:, None] * u)
        assert -0.25 <= float(steps.min()) < -0.24 and 0.24 < float(steps.max()) <= 0.25
        assert abs(float(steps.mean())) < 0.01


def test_halves_keep_groups_whole() -> None:
    groups = np.array(["a", "b", "a", "c", "d", "e", "b"])
    half = half_of_groups(groups, np.random.default_rng(0))
    assert len(set(groups[half])) == 3
    assert not set(groups[half]) & set(groups[~half])


def test_unlabelled_images_are_left_out_and_labels_checked() -> None:
    inputs = lesions(12)
    inputs.images.loc[[0, 1], "label"] = None
    train, held_out, positive = labelled_rows(inputs, "MEL")
    assert held_out.tolist() == [3, 6, 9] and 1 not in train.tolist()
    assert positive.tolist() == (inputs.images["label"] == "MEL").tolist()
    with pytest.raises(ConfigError, match=r"shortcut\.positive is 'BCC'.*'MEL', 'NV'"):
        labelled_rows(inputs, "BCC")
    inputs = lesions(12)
    inputs.images["label"] = "NV"
    with pytest.raises(ValueError, match="0 of 4 held-out images are 'MEL'"):
        labelled_rows(inputs, "MEL")


def test_shifted_embeddings_come_in_the_order_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.arange(6, dtype=np.float16).reshape(3, 2)
    folder = Path("data/embeddings/a-perturbed/added")
    write_shard(folder, 0, pa.table({"image_id": ["p", "q", "r"], "x": vector_column(x)}))
    found = read_shift("a", "added", np.array(["r", "p"], dtype=object))
    assert found.tolist() == [[4, 5], [0, 1]]
    with pytest.raises(ValueError, match="lacks 1 held-out images, such as 's'"):
        read_shift("a", "added", np.array(["r", "s"], dtype=object))


@pytest.fixture(scope="module")
def result() -> tuple[dict, pd.DataFrame]:
    inputs = lesions()
    more, added, less = reddened(inputs)
    shifted = {"added": more, "removed": less}
    return audit_shortcut(inputs, labels_table(), shifted, added, CONFIG, 0, Gaps())


class TestAudit:
    def test_names_the_planted_component(self, result: tuple[dict, pd.DataFrame]) -> None:
        metrics, table = result
        assert table["component"].tolist()[0] == RED and bool(table["suspect"][0])
        assert float(table["mean_relevance"][0]) < 0
        assert metrics["red"]["component"] == RED and metrics["red"]["rise"] > 0.5
        first = float(table["share"][0])
        assert metrics[str(RED)] == {"share": pytest.approx(first), "label": "term 5"}
        assert set(metrics) == {*map(str, table["component"]), "accuracy", "auroc", "red"}
        assert 0.85 < metrics["auroc"] < 1
        json.dumps(metrics, allow_nan=False)

    def test_red_hides_melanoma_and_augmentation_repairs_some_of_it(
        self, result: tuple[dict, pd.DataFrame]
    ) -> None:
        accuracy = result[0]["accuracy"]
        assert set(accuracy) == {"plain", "added", "removed"}

        def mean(shift: str, side: str, kind: str) -> float:
            return accuracy[shift][side][kind]["mean"]

        drop = {
            kind: mean("plain", "positive", kind) - mean("added", "positive", kind)
            for kind in ("standard", "robust")
        }
        assert drop["standard"] > 0.2
        assert drop["robust"] < drop["standard"] - 0.1
        assert mean("added", "negative", "standard") > mean("plain", "negative", "standard")
        assert mean("removed", "negative", "standard") < mean("plain", "negative", "standard")
        assert all(
            values["sem"] >= 0
            for sides in accuracy.values()
            for kinds in sides.values()
            for values in kinds.values()
        )

    def test_the_seed_decides(self, result: tuple[dict, pd.DataFrame]) -> None:
        inputs = lesions()
        more, added, less = reddened(inputs)
        shifted = {"added": more, "removed": less}
        again, _ = audit_shortcut(inputs, labels_table(), shifted, added, CONFIG, 0, Gaps())
        other, _ = audit_shortcut(inputs, labels_table(), shifted, added, CONFIG, 1, Gaps())
        assert again == result[0]
        assert other["accuracy"] != again["accuracy"] and other["auroc"] == again["auroc"]

    def test_where_no_component_answers_to_red_the_rest_stays(self) -> None:
        inputs = lesions()
        more, added, less = reddened(inputs)
        shifted, gaps = {"added": more, "removed": less}, Gaps()
        of_positive = inputs.codes.activation.clone()
        of_positive[torch.tensor((inputs.images["label"] == "NV").to_numpy())] = 0
        silent = replace(inputs, codes=Codes(inputs.codes.component, of_positive))
        metrics, table = audit_shortcut(silent, labels_table(), shifted, added, CONFIG, 0, gaps)
        assert set(metrics) == {*map(str, table["component"]), "auroc"}
        assert list(gaps.reasons) == ["shortcut.red"]
        assert "fires on a negative train image" in gaps.reasons["shortcut.red"]

    def test_one_side_only_is_no_classifier(self) -> None:
        inputs = lesions(12)
        inputs.images.loc[inputs.images["split"] == "val", "label"] = "NV"
        more, added, less = reddened(inputs)
        shifted = {"added": more, "removed": less}
        with pytest.raises(DoesNotApply, match="0 of 4 held-out images are 'MEL'"):
            audit_shortcut(inputs, labels_table(), shifted, added, CONFIG, 0, Gaps())
