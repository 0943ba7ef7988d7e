"""The whole audit on embeddings with a shortcut of known direction, effect and interval."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from audits.shortcut import proof
from audits.shortcut.audit import Results, audit_shortcut
from audits.shortcut.columns import COLUMNS
from audits.shortcut.components import verdicts
from audits.shortcut.images import Shifted, parts
from audits.shortcut.remedies import STANDARD
from audits.shortcut.trials import Judged, auroc, half_of_groups, halves
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.config import COVERED, ConfigError, ShortcutConfig
from tests.audits.shortcut.invented import RED, World, config, world

CONFIG = config()
FINDINGS = pd.DataFrame(columns=["component", "verdict", "mode"])


def audited(
    made: World,
    findings: pd.DataFrame = FINDINGS,
    seed: int = 0,
    settings: ShortcutConfig = CONFIG,
) -> Results:
    acquisition = pd.DataFrame({"sex": np.where(np.arange(len(made.inputs.images)) % 2, "f", "m")})
    return audit_shortcut(
        *(made.inputs, made.sae, made.labels, findings, acquisition),
        *(made.train, made.held_out, made.shifted, made.shifts, settings, seed, Gaps()),
    )


@pytest.fixture(scope="module")
def result() -> Results:
    return audited(world(1200, 0))


def test_every_table_has_its_columns(result: Results) -> None:
    for name, table in result.tables.items():
        assert set(table.columns) >= set(COLUMNS[name]), name
        assert not table.empty
    json.dumps(result.metrics, allow_nan=False, default=float)


def test_the_planted_component_is_the_first_candidate_and_called(result: Results) -> None:
    first = result.tables["components"].iloc[0]
    assert first["component"] == RED and first["called"] == "red_1" and first["suspect"]
    assert first["mean_relevance"] < 0 and first["colour_statistic"] == "red"
    assert first["answer_shift"] == "red_1" and first["acquisition"] == 0
    assert result.tables["components"]["called"].notna().sum() == 1
    assert result.metrics["target"] == {"shift": "red_1", "side": "positive", "component": RED}


def test_calibration_is_of_all_held_out_images_however_few_are_shifted(result: Results) -> None:
    made = world(1200, 0)
    whole = made.shifted[1]
    # As many of both sides, more or less.
    kept = whole.images.positive | (np.arange(len(whole.images.positive)) % 2 == 0)
    some = Shifted(
        whole.images.only(kept),
        whole.statistics[kept].reset_index(drop=True),
        None,
        {name: view.rows(kept) for name, view in whole.views.items()},
        {},
    )
    found = audited(replace(made, shifted=(made.shifted[0], some)))
    assert found.metrics["images"]["negative"] < result.metrics["images"]["negative"]
    pd.testing.assert_frame_equal(found.tables["calibration"], result.tables["calibration"])


def under(found: Results, shift: str) -> pd.DataFrame:
    """The standard classifier's sides under a shift."""
    table = found.tables["shifts"]
    return table[(table["remedy"] == STANDARD) & (table["shift"] == shift)].set_index("side")


def test_a_shortcut_by_the_surroundings_is_called_with_masks() -> None:
    found = audited(world(1200, 0, outside=(True, True)))
    first = found.tables["components"].iloc[0]
    assert first["component"] == RED and first["called"] == "red_1"
    assert first[COVERED[0]] == pytest.approx(1) and first[COVERED[1]] == pytest.approx(0, abs=0.1)
    red = under(found, "red_1")
    assert red["alone"].tolist() == pytest.approx(red["drop"].tolist())
    assert red.loc["positive", "proven"] and found.metrics["fragile"] == "none"


@pytest.mark.parametrize("outside", [(False, True), (True, False)])
def test_what_is_of_the_object_alone_is_fragile(outside: tuple[bool, bool]) -> None:
    """No fall by the surroundings alone, or none that surroundings of train images could teach."""
    found = audited(world(1200, 0, outside=outside))
    assert found.tables["components"]["called"].isna().all() and found.tables["remedies"].empty
    assert found.metrics["fragile"] == "red_1" and "target" not in found.metrics
    red = under(found, "red_1")
    lost = red.loc["positive", "drop"]
    assert lost > 0.15
    assert red.loc["positive", "alone"] == pytest.approx(lost if outside[0] else 0)


def test_what_is_reported_is_what_is_true(result: Results) -> None:
    """The truth: classifiers of as many train images, of ten worlds, on 6,000 images of another."""
    large = world(18000, 99)
    over = Judged.of(large.shifted[1], large.held_out, config(bootstrap=1), 0)
    target = proof.Target("red_1", "red", "positive")
    found: dict[str, list[float]] = {}
    for seed in range(1, 11):
        small = world(1200, seed)
        split = halves(small.train, CONFIG, seed)
        check = Judged.of(small.shifted[0], small.train, CONFIG, seed)
        trial = proof.standard_trial(small.train, split, check)
        outcomes = proof.held_out(trial, over)
        for side in ("positive", "negative"):
            drop = proof.drop(outcomes, target.shift, side).value
            found.setdefault(f"{side} drop", []).append(drop)
            found.setdefault(side, []).append(outcomes["plain"].side(side).interval().value)
        found.setdefault("auroc", []).append(auroc(trial.fitted, over).interval().value)
    truth = {key: float(np.mean(values)) for key, values in found.items()}
    metrics = result.metrics
    assert truth["positive drop"] > 0.15
    reported = {
        "auroc": metrics["auroc"],
        **{side: metrics["accuracy"][side] for side in ("positive", "negative")},
    }
    for name, one in reported.items():
        assert one["low"] <= truth[name] <= one["high"], (name, one, truth[name])
    for side in ("positive", "negative"):
        one = metrics["shifts"]["red_1"][side]
        assert one["drop_low"] <= truth[f"{side} drop"] <= one["drop_high"], (side, one, truth)
        harmless = metrics["shifts"]["blue_1"][side]
        assert harmless["drop_low"] <= 0 <= harmless["drop_high"]


def test_a_remedy_is_recommended_that_takes_the_drop_away(result: Results) -> None:
    """Red skin earns more than max_price here, so that nothing helps on images as they are."""
    table = result.tables["remedies"]
    standard = table.iloc[0]
    assert result.metrics["recommended"] == "none" and not table["recommended"].any()
    best = table[table["recommended_matched"].astype(bool)].iloc[0]
    assert best["drop"] < standard["drop"] / 3 and best["relief_low"] > 0
    assert best["relief"] == pytest.approx(standard["drop"] - best["drop"])
    assert best["price_matched"] < CONFIG.max_price < best["price"]
    assert best["share"] < standard["share"] / 3
    assert result.metrics["recommended_matched"] == best["remedy"]
    assert set(result.tables["shifts"]["remedy"]) == {STANDARD, best["remedy"]}


def test_a_price_that_may_be_paid_recommends_on_images_as_they_are() -> None:
    found = audited(world(1200, 0), settings=config(max_price=0.12))
    table = found.tables["remedies"]
    best = table[table["recommended"].astype(bool)].iloc[0]
    assert best["drop"] < table["drop"].iloc[0] / 3
    assert found.metrics["recommended"] == best["remedy"]
    assert "none" not in (found.metrics["recommended"], found.metrics["recommended_matched"])


def test_where_nothing_is_planted_nothing_is_called_nor_recommended() -> None:
    found = audited(world(1200, 3, planted=False))
    assert found.tables["components"]["called"].isna().all()
    assert found.tables["remedies"].empty and "recommended" not in found.metrics
    assert not found.tables["shifts"]["proven"].any()


def test_held_out_images_choose_nothing() -> None:
    """With every held-out image under the shift made harmless, the same is chosen."""
    made = world(1200, 0)
    held = made.shifted[1]
    views = {name: held.views["plain"] for name in held.views}
    blind = World(
        **{
            **made.__dict__,
            "shifted": (made.shifted[0], replace(held, views=views)),
        }
    )
    told, untold = audited(made), audited(blind)
    same = ("target", "recommended", "recommended_matched")
    assert {k: told.metrics[k] for k in same} == {k: untold.metrics[k] for k in same}
    pd.testing.assert_frame_equal(told.tables["sweep"], untold.tables["sweep"])
    assert untold.tables["components"]["called"].isna().all()


def test_the_seed_decides() -> None:
    made = world(600, 1)
    assert audited(made).metrics == audited(made).metrics
    assert audited(made).metrics != audited(made, seed=1).metrics


def test_a_persons_word_comes_first() -> None:
    findings = pd.DataFrame(
        {
            "component": [1, 4, 4, 3],
            "verdict": ["accept", "reject", None, "accept"],
            "mode": ["spurious", "spurious", "spurious", "polysemy"],
        }
    )
    assert verdicts(findings, 6) == [None, "accept", None, None, "reject", None]
    made = world(600, 1)
    table = audited(made, findings).tables["components"]
    assert table["component"].iloc[0] == 1 and bool(table["suspect"].iloc[0])
    assert RED not in table["component"].iloc[:-1].tolist()


def test_sides_are_checked() -> None:
    made = world(120, 0)
    with pytest.raises(ConfigError, match=r"shortcut\.positive has 'BCC'.*'MEL', 'NV'"):
        parts(made.inputs, config(positive=["BCC"]))
    with pytest.raises(ConfigError, match=r"shortcut\.negative has 'BCC'"):
        parts(made.inputs, config(negative=["BCC"]))
    made.inputs.images["label"] = "NV"
    with pytest.raises(DoesNotApply, match="0 of 80 train images are MEL"):
        parts(made.inputs, CONFIG)


def test_labels_on_neither_side_are_left_out() -> None:
    made = world(120, 0)
    labels = made.inputs.images["label"].to_numpy().copy()
    labels[:30], labels[30:33] = "BKL", None
    made.inputs.images["label"] = labels
    made.inputs.classes.loc[2] = "BKL"
    train, held_out = parts(made.inputs, config(negative=["NV"]))
    assert min(train.rows.min(), held_out.rows.min()) >= 33
    everyone = parts(made.inputs, CONFIG)
    assert sum(len(part.rows) for part in everyone) == 117


def test_halves_keep_groups_whole() -> None:
    groups = np.array(["a", "b", "a", "c", "d", "e", "b"])
    half = half_of_groups(groups, np.random.default_rng(0))
    assert len(set(groups[half])) == 3
    assert not set(groups[half]) & set(groups[~half])
