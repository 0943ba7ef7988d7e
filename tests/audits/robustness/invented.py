"""A finding of the invented audit, and what the stage `robustness` makes of it."""

import pandas as pd
import pytest

from audits.inputs import Inputs
from audits.robustness import __main__ as stage
from audits.robustness.forms import component_activation
from pipeline import layout
from pipeline.artifacts.store import write_json, write_table
from pipeline.config import AuditConfig, FailuresConfig, Params, RobustnessConfig
from tests.conftest import PLANTED

CONFIG = RobustnessConfig(
    min_images=5,
    train_images=40,
    search_images=20,
    folds=3,
    regularisation=[1.0, 10.0],
)


def findings(verdict: str | None = None, component: int = PLANTED) -> pd.DataFrame:
    row = {"finding_id": f"n01-{component}", "class": "n01", "component": component}
    return pd.DataFrame([row | {"mode": "polysemy", "verdict": verdict}])


def evidence(inputs: Inputs) -> dict[str, dict[str, list[str]]]:
    """Train images of n02 that carry PLANTED."""
    carriers = (inputs.images["label"] == "n02") & (inputs.images["split"] == "train")
    carriers &= component_activation(inputs, PLANTED) > 0
    return {f"n01-{PLANTED}": {"images": inputs.images["image_id"][carriers].tolist()}}


def params_of(*audits: str) -> Params:
    """Audits of scenes, as far as robustness and comparison read them."""
    config = AuditConfig.model_construct(
        dataset="scenes", robustness=CONFIG, failures=FailuresConfig.model_construct(overlap=0.5)
    )
    return Params.model_construct(
        seed=0, threads=1, datasets={"scenes": None}, audits=dict.fromkeys(audits, config)
    )


def run(
    monkeypatch: pytest.MonkeyPatch, audit: str, inputs: Inputs, found_on: Inputs | None = None
) -> None:
    """The stage on an accepted and a rejected finding, in the current directory.

    The findings are those of the inputs, unless they were found on others.
    """
    monkeypatch.setattr(stage, "begin", lambda _: (audit, params_of(audit)))
    monkeypatch.setattr(stage, "load_inputs", lambda *_: inputs)
    review = layout.audit(audit, "review")
    other = findings("reject", component=1).assign(finding_id="n01-1")
    write_table(review / "findings.csv", pd.concat([findings("accept"), other]))
    write_json(review / "evidence.json", evidence(found_on or inputs) | {"n01-1": {"images": []}})
    sets = layout.manifest("scenes") / "distractors.csv"
    if not sets.exists():  # the dataset brings none
        write_table(sets, pd.DataFrame(columns=["image_id", "label", "set"]))
    stage.main()
