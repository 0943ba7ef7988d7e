"""Costs of stages, worked out by hand from invented rates."""

from pathlib import Path

import pandas as pd
import pytest

from audits.plan.beginning import Spent
from audits.plan.calibration import ModelRates, SaeRates
from audits.plan.costs import IDS, START, Cost, Rates, costs, one_sae
from audits.plan.samples import Pretraining, Rendering
from pipeline.config import DictionaryConfig, Params, load_params
from tests.small_repository import ROOT

AUDIT = "lesions-tiny"
MODEL = ModelRates(
    load=2.0,
    decode=0.01,
    forward=0.1,
    shift=0.001,
    text=0.5,
    memory=7,
    width=10,
    projected=6,
)
RATES = Rates(
    light=Spent(START, 100),
    heavy=Spent(8.0, 200),
    opening=0.02,
    models={AUDIT: MODEL},
    sae=SaeRates(step=0.3, centroid=0.001, encode=0.002, match=0.7),
    linear=0.004,
    binary=0.0002,
    rendered={},
    pretraining=None,
)


def planned(params: Params, rates: Rates = RATES) -> dict[str, Cost]:
    images = pd.DataFrame({"split": ["train"] * 300 + ["val"] * 100, "label": "NV"})
    images["sha256"] = [f"{row:04d}" for row in range(len(images))]
    return costs(params, AUDIT, images, classes=4, words=19, rates=rates)


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def test_each_image_is_opened_and_goes_through_the_model(params: Params) -> None:
    found = planned(params)
    assert found["prepare@lesions"].seconds == pytest.approx(START + 400 * 0.02)
    embed = found[f"embed@{AUDIT}"]
    assert embed == Cost(400, pytest.approx(8 + 2 + 400 * 0.11), 400 * 10 * 4, 207)
    assert found["embed_concepts"].seconds == pytest.approx(8 + 2 + 20 * 0.5)
    # Four prompt forms, two of which have three templates.
    assert found["embed_texts"].seconds == pytest.approx(8 + 2 + 4 * 2 * (1 + 3) * 0.5)


def test_the_rest_goes_by_how_fast_the_machine_begins(params: Params) -> None:
    taken = 8 + 400 * 6.4e-4 + 64 * 2.8e-3
    assert planned(params)["failures"].seconds == pytest.approx(taken)
    slow = RATES._replace(light=Spent(2 * START, 100))
    found = planned(params, rates=slow)["failures"].seconds
    assert found == pytest.approx(2 * taken)
    # Names are compared with every component.
    assert planned(params)["label"].seconds == pytest.approx(5.4 + 400 * 7.6e-5 + 64 * 19 * 2.8e-7)


def test_pictures_of_components_are_mapped_as_far_as_asked_and_the_first_tested(
    params: Params,
) -> None:
    found = planned(params)["maps"]  # 64 components with eight pictures each
    seconds = 8 + 2 + (512 + 512) * 0.01 + 512 * 6 * 0.1
    assert found == Cost(512, pytest.approx(seconds), 512 * 1200, 207)
    audit = params.audit(AUDIT)
    for components, mapped, passes in ((64, 100, 100 * 6), (500, 3000, 3000 * 3 + 1000 * 3)):
        about = {
            "sae": audit.sae.model_copy(update={"components": components}),
            "report": audit.report.model_copy(update={"maps": mapped}),
        }
        asked = params.model_copy(update={"audits": {AUDIT: audit.model_copy(update=about)}})
        seconds = 8 + 2 + (8 * components + mapped) * 0.01 + passes * 0.1
        assert planned(asked)["maps"].seconds == pytest.approx(seconds)


def test_faithfulness_goes_by_the_images_that_settings_allow(params: Params) -> None:
    found = planned(params)["faithfulness"]
    assert found.images == 400
    assert found.seconds == pytest.approx(5.6 + 400 * 3.3e-5 + 64 * 4.6e-4 + 4 * 50 * 1e-3)


def test_an_autoencoder_takes_its_start_its_steps_and_its_health(params: Params) -> None:
    config = params.audit(AUDIT).sae  # 64 components
    steps = 30 * 3 * 0.3 + 30 * 100 * 0.002  # batches of 128
    own = steps + 1.6 * (300 / 64) ** 0.5 * 300 * 0.001 + 300 * 0.002
    assert one_sae(config, 300, 100, RATES.sae) == pytest.approx(own)
    its_own = config.model_copy(update={"encoder_init": "random"})
    assert one_sae(its_own, 300, 100, RATES.sae) == pytest.approx(own - 300 * 0.002)
    # Few or many tokens a centroid: no fewer than two passes, no more than ten.
    for components, passes in ((300, 2), (1, 10)):
        sized = its_own.model_copy(update={"components": components})
        found = one_sae(sized, 300, 100, RATES.sae)
        assert found == pytest.approx(steps + passes * 300 * 0.001)
    half = 1.6 * (150 / 64) ** 0.5 * 150 * 0.001 + 150 * 0.002 + 30 * 2 * 0.3
    found = planned(params)
    assert found["train_sae"].seconds == pytest.approx(START + own)
    assert found["train_further"].seconds == pytest.approx(START + 2 * half)
    # Three dictionaries in pairs, and two kinds of random directions.
    assert found["stability"].seconds == pytest.approx(START + 3 * 400 * 0.002 + 5 * 0.7)


def test_shifted_images_go_through_the_model_once_a_view(params: Params) -> None:
    views = 2 * 17 + 2  # 17 shifts of all and of the surroundings, two parts covered
    found = planned(params)["perturb"]
    # Of one side at most half of 600 train and 1,000 held-out images; train images are read twice.
    assert found.images == 400
    assert found.seconds == pytest.approx(8 + 2 + 700 * 0.01 + 400 * views * 0.101)
    audit = params.audit(AUDIT).model_copy(update={"shortcut": None})
    without = params.model_copy(update={"audits": {AUDIT: audit}})
    assert planned(without)["perturb"] == Cost(0, 8.0, 0, 200)
    assert planned(without)["shortcut"] == Cost(0, pytest.approx(8.1), None, 100 + 400 * IDS)


def test_classifiers_take_their_fits_and_what_they_are_asked(params: Params) -> None:
    found = planned(params)
    # Three folds of three regularisations, and one of all.
    assert found["robustness"].seconds == pytest.approx(7.5 + 10 * 75 * 0.004)
    # Nine repeats choose, fit as it is and 17 settings; one of all images; three kinds of shift.
    fits = 9 * (9 + 1 + 17) + 9 + 1 + 3 * (9 + 3)
    on_train, held_out = 300 * 35 + 17 * (2 * 300 + 300), 8 * 100 * 35
    taken = 12.3 + fits * 27 * 0.0002 + 9 * (on_train + held_out) * 3.3e-6
    assert found["shortcut"].seconds == pytest.approx(taken)


def test_what_a_sample_takes_before_its_audit(params: Params) -> None:
    small = Pretraining(images=500, decode=0.003, step=0.2, steps=63, size=9_000_000)
    rendered = {"scenes": Rendering(begin=1.0, images=700, each=0.005)}
    found = planned(params, RATES._replace(rendered=rendered, pretraining=small))
    assert found["sample@scenes"] == Cost(700, pytest.approx(3 * 1.0 + 700 * 0.005))
    assert found["prepare@scenes"].seconds == pytest.approx(START + 700 * 0.02)
    assert found["pretrain"].seconds == pytest.approx(8 + 500 * 0.003 + 63 * 0.2)
    assert found["pretrain"].disk == 9_000_000
    assert found["prepare@lesions"] == planned(params)["prepare@lesions"]
    assert not {"pretrain", "sample@lesions"} & planned(params).keys()


def test_an_imported_dictionary_is_not_trained(params: Params) -> None:
    given = DictionaryConfig(folder=Path("x"), sha256="0", min_explained_variance=0.5)
    audit = params.audit(AUDIT).model_copy(update={"dictionary": given})
    found = planned(params.model_copy(update={"audits": {AUDIT: audit}}))
    assert found["train_sae"].seconds == found["train_further"].seconds == START


def test_memory_grows_with_ids_and_with_vectors_up_to_two_pools(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = 4 * 2 * params.audit(AUDIT).sae.components * 10 * 4
    found = planned(params)
    assert found["reference"].memory == 100 + 400 * IDS
    assert found["failures"].memory == 100 + 400 * IDS + 4 * 64 * 24
    assert found["report"].memory == 100 + 400 * (IDS + 440)
    # 400 images are fewer than the 20 of each of 64 components; all 300 train images are learnt.
    assert found["label"].memory == 100 + 400 * IDS + 400 * 10 * 4
    assert found["robustness"].memory == 100 + 400 * IDS + 300 * (4 * 12 + 2 * 6 * 4)
    assert found["train_sae"].memory == 100 + 400 * IDS + 400 * 10 * 4 + state
    assert found["encode"].memory == 100 + 400 * IDS + state // 4
    some = params.audit(AUDIT)
    some = some.model_copy(update={"sae": some.sae.model_copy(update={"epoch_fraction": 0.1})})
    drawn = planned(params.model_copy(update={"audits": {AUDIT: some}}))["train_sae"].memory
    assert drawn == 100 + 400 * IDS + 40 * 10 * 4 + state
    monkeypatch.setattr("audits.plan.costs.POOL_BYTES", 5000)
    assert planned(params)["train_sae"].memory == 100 + 400 * IDS + 2 * 5000 + state
