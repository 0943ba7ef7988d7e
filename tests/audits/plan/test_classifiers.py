"""How many classifiers are fitted, and what a step takes, by an invented clock and for real."""

from itertools import count
from types import SimpleNamespace

import pandas as pd
import pytest

from audits.plan import classifiers
from pipeline.config import RobustnessConfig, ShortcutConfig, load_params
from tests.small_repository import ROOT

IMAGES = pd.DataFrame(
    {
        "split": ["train"] * 90 + ["val"] * 20,
        "label": ["MEL"] * 50 + ["NV"] * 30 + [None] * 10 + ["MEL"] * 20,
    }
)


@pytest.fixture
def robustness() -> RobustnessConfig:
    return load_params(ROOT / "params.yaml").audit("lesions-tiny").robustness


@pytest.fixture
def shortcut() -> ShortcutConfig:
    found = load_params(ROOT / "params.yaml").audit("lesions-tiny").shortcut
    assert found is not None
    return found


def test_a_linear_classifier_is_searched_in_folds(robustness: RobustnessConfig) -> None:
    few = robustness.model_copy(update={"search_images": 30, "train_images": 40})
    # Of 60 images 40 in each of nine, and 40 + 30 in the last.
    assert classifiers.linear_fits(IMAGES, few) == (10, 43)
    one = few.model_copy(update={"regularisation": [1.0]})
    assert classifiers.linear_fits(IMAGES, one) == (1, 70)


def test_both_sides_are_learnt_from(shortcut: ShortcutConfig) -> None:
    assert classifiers.taught(IMAGES, shortcut) == 80
    some = shortcut.model_copy(update={"negative": ["NV"], "positive": ["BCC"]})
    assert classifiers.taught(IMAGES, some) == 30


def test_less_is_fitted_and_asked_with_fewer_repeats_and_shifts(shortcut: ShortcutConfig) -> None:
    once = shortcut.model_copy(update={"repeats": 1})
    plain = once.model_copy(update={"shifts": {"red": [1.0]}, "mask": None})
    assert classifiers.binary_fits(80, 40, once).number == 27 + 10 + 36
    assert classifiers.binary_fits(80, 40, plain).number == 27 + 10
    asked = 40 * 2 + 17 * (2 * 40 + 80) + 8 * 20 * 2
    assert classifiers.judgements(80, (40, 20), plain) == asked
    nine = plain.model_copy(update={"repeats": 9})
    assert classifiers.judgements(80, (40, 20), nine) == 9 * asked


def test_a_step_is_what_a_fit_takes_over_its_steps(
    monkeypatch: pytest.MonkeyPatch, robustness: RobustnessConfig, shortcut: ShortcutConfig
) -> None:
    clock = count(0.0, 8.0)
    monkeypatch.setattr(classifiers.time, "process_time", lambda: next(clock))
    seen = []

    def fit(z, images, config, seed):
        seen.append((z.shape, images["label"].nunique(), config.regularisation))
        return SimpleNamespace(steps=16)

    monkeypatch.setattr(classifiers.linear, "fit", fit)
    assert classifiers.linear_step(600, 10, 4, robustness) == 0.5
    # Of many classes and images some are timed.
    assert classifiers.linear_step(1_000_000, 10, 1000, robustness) == pytest.approx(0.5 * 100)
    assert seen == [((600, 10), 4, [100.0]), ((100_000, 10), 100, [100.0])]
    fitted = SimpleNamespace(n_iter_=SimpleNamespace(max=lambda: 4))
    monkeypatch.setattr(classifiers.classifier, "fit", lambda z, positive, c: fitted)
    assert classifiers.binary_step(600, 10, shortcut) == 8.0 / (4 * classifiers.FITTED)


def test_real_steps_take_longer_with_more_images(
    robustness: RobustnessConfig, shortcut: ShortcutConfig
) -> None:
    few, many = (classifiers.linear_step(rows, 16, 3, robustness) for rows in (60, 6000))
    assert 0 < few < many
    few, many = (classifiers.binary_step(rows, 16, shortcut) for rows in (60, 6000))
    assert 0 < few < many
