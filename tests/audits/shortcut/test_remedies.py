"""What each remedy does to embeddings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from audits.shortcut.images import seen
from audits.shortcut.remedies import (
    STANDARD,
    Fitted,
    Lesson,
    augmented,
    latent_direction,
    learn,
    settings,
    standard,
)
from pipeline.artifacts.gaps import DoesNotApply
from tests.audits.shortcut.invented import HEIGHT, RED, World, config, directions, world

CONFIG = config()


@pytest.fixture(scope="module")
def made() -> World:
    return world(900, 0)


@pytest.fixture(scope="module")
def lesson(made: World) -> Lesson:
    train, shifted = made.train, made.shifted[0]
    atom = directions()[RED]
    return Lesson(
        view=train.view,
        positive=train.positive,
        activation=(train.view.x @ atom).clamp(min=0).numpy(),
        atom=atom,
        activation_of=lambda view: (view.x @ atom).clamp(min=0).numpy(),
        pairs=np.arange(len(train.rows)),
        shifted=[shifted.views["red_1"]],
        head=made.inputs.head,
        c=100.0,
    )


def moves(fitted: Fitted, made: World) -> float:
    """How far the shift moves the held-out images' output, in deviations of it."""
    views = made.shifted[1].views
    plain = fitted.scores(views["plain"])
    return float((fitted.scores(views["red_1"]) - plain).mean() / plain.std())


def test_every_remedy_lets_the_shift_move_less(made: World, lesson: Lesson) -> None:
    untreated = moves(standard(lesson.view, lesson.positive, lesson.c), made)
    assert untreated < -0.4
    left = {
        (remedy, setting): moves(learn(remedy, setting, lesson, CONFIG.quantiles, 0), made)
        for remedy, setting in settings(CONFIG)
    }
    assert all(untreated < value for value in left.values()), left
    nearly_none = [("direction_removed", None), ("switched_off", None)]
    for key in [*nearly_none, ("shifts_removed", 1), ("shifts_removed", 2)]:
        assert abs(left[key]) < 0.1, left
    assert abs(left["shifted_copies", None]) < 0.6 * abs(untreated)
    assert abs(left["shift_penalty", 1e5]) < 0.05 < abs(left["shift_penalty", 100.0])
    assert abs(left["latent_augmentation", 4.0]) < abs(left["latent_augmentation", 1.0])


def test_the_gradient_is_what_a_small_step_changes(made: World, lesson: Lesson) -> None:
    """Across the atom: along it, what switching off takes away grows by as much as the step."""
    view, head = made.shifted[1].views["plain"].rows(np.arange(20)), made.inputs.head
    step = torch.randn(20, view.x.shape[1], generator=torch.Generator().manual_seed(0))
    step = 0.01 * (step - (step @ lesson.atom)[:, None] * lesson.atom)
    for remedy, setting in [(STANDARD, None), *settings(CONFIG)]:
        if remedy == STANDARD:
            fitted = standard(lesson.view, lesson.positive, lesson.c)
        else:
            fitted = learn(remedy, setting, lesson, CONFIG.quantiles, 0)
        ahead, behind = (fitted.scores(seen(view.x + s, head)) for s in (step, -step))
        found = (fitted.gradient(view, head) * step).sum(dim=1).numpy()
        np.testing.assert_allclose(found, (ahead - behind) / 2, atol=2e-4 * np.abs(ahead).max())


def test_a_penalty_of_nothing_is_the_standard_classifier(made: World, lesson: Lesson) -> None:
    view = made.shifted[1].views["plain"]
    weak = learn("shift_penalty", 1e-9, lesson, CONFIG.quantiles, 0).scores(view)
    plain = standard(lesson.view, lesson.positive, lesson.c).scores(view)
    np.testing.assert_allclose(weak, plain, atol=0.02)


def test_weights_make_component_and_side_independent(lesson: Lesson) -> None:
    alone = replace(lesson, activation=np.zeros(len(lesson.positive)))
    with pytest.raises(DoesNotApply, match="one has no train image"):
        learn("reweighted", None, alone, CONFIG.quantiles, 0)


class TestLatentDirection:
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 8.0], [6.0, 2.0], [9.0, 9.0]])

    def test_by_hand(self) -> None:
        found = latent_direction(self.x, np.array([1.0, 2.0, 3.0, 4.0, 5.0]), (0.25, 0.5))
        # Above 3: the last two; at or below 2: the first two.
        torch.testing.assert_close(found, torch.tensor([7.5 - 1.0, 5.5 - 0.0]))

    def test_a_component_that_is_mostly_off_parts_on_from_off(self) -> None:
        found = latent_direction(self.x, np.array([0.0, 0.0, 7.0, 0.0, 0.0]), (0.25, 0.5))
        torch.testing.assert_close(found, self.x[2] - self.x[[0, 1, 3, 4]].mean(dim=0))

    def test_a_constant_activation_is_refused(self) -> None:
        with pytest.raises(DoesNotApply, match=r"shortcut\.quantiles"):
            latent_direction(self.x, np.full(5, 2.0), (0.25, 0.5))

    def test_the_planted_one_is_found(self, made: World) -> None:
        negative = ~made.train.positive
        x = made.train.view.x[torch.from_numpy(negative)]
        atom = directions()[RED]
        found = latent_direction(x, (x @ atom).numpy(), (0.4, 0.6))
        assert float(found @ atom) == pytest.approx(HEIGHT, abs=0.2)


def test_noise_is_along_the_direction_centred_and_of_width_alpha() -> None:
    x, u = torch.zeros(4000, 2), torch.tensor([3.0, -6.0])
    noise = augmented(x, u, 0.5, torch.Generator().manual_seed(0))
    steps = noise[:, 0] / 3
    torch.testing.assert_close(noise, steps[:, None] * u)
    assert -0.25 <= float(steps.min()) < -0.24 and 0.24 < float(steps.max()) <= 0.25
    assert abs(float(steps.mean())) < 0.01


def test_embeddings_are_seen_at_unit_length(made: World) -> None:
    view = seen(made.train.view.x, made.inputs.head)
    np.testing.assert_allclose(np.linalg.norm(view.z, axis=1), 1, atol=1e-6)
