"""Reports of three invented audits as the stages leave them, and the runs that publishing makes."""

import json
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from audits.publish.__main__ import main
from audits.publish.model import Model
from pipeline.config import (
    AuditConfig,
    DatasetConfig,
    EmbeddingsConfig,
    ModelConfig,
    Params,
    SaeConfig,
)

REPOSITORY = Path(__file__).parents[3]
DATASETS = {"scenes-tiny": "scenes", "scenes-large": "scenes", "lesions-tiny": "lesions"}
METRICS = {
    "dataset": {"images": 12},
    "failures": {"flags": 3, "planted": {"recall": 0.5, "precision": None}},
    "shortcut": {"7": {"share": 0.25, "label": "red hue"}},
}
PROCESS = """
import sys
from audits.publish import runs
from audits.publish.__main__ import main
from audits.publish.model import Model
from tests.audits.publish import invented
runs.load_params = invented.tiny_params
sys.argv = ["publish", "--audit", sys.argv[1]]
main()
"""


def tiny_params() -> Params:
    """What publishing reads of params.yaml, and no more."""
    sae = SaeConfig.model_construct(
        components=8,
        k=4,
        epochs=3,
        epoch_fraction=1.0,
        batch_size=2,
        learning_rate=0.01,
        decay_after=[1, 2],
    )
    embeddings = EmbeddingsConfig.model_construct(
        dataset="birds", model="tiny", batch_size=2, workers=5
    )
    return Params.model_construct(
        audits={
            name: AuditConfig.model_construct(
                dataset=dataset, model="tiny", embeddings="shared", sae=sae
            )
            for name, dataset in DATASETS.items()
        },
        embeddings={"shared": embeddings},
        models={"tiny": ModelConfig(name="local-dir:data/models/tiny", pretrained=None, note=None)},
        datasets={
            name: DatasetConfig.model_construct(root=Path("data/raw") / name)
            for name in set(DATASETS.values())
        },
    )


def write_repository(root: Path) -> None:
    """What the stages before publish leave, for each audit."""
    for audit, dataset in DATASETS.items():
        report = root / "reports" / audit
        report.mkdir(parents=True)
        (report / "metrics.json").write_text(json.dumps(METRICS))
        (report / "report.html").write_text("<p>hello</p>")
        (report / "components.html").write_text("<p>components</p>")
        (report / "report.md").write_text(f"# {audit}\n")
        (report / "findings.csv").write_text("finding_id,class\nf1,bat\n")
        provenance = {
            "dataset": {"fingerprint": f"print-{dataset}"},
            "model": {"weights_sha256": "ab12"},
        }
        (report / "provenance.json").write_text(json.dumps(provenance))
        sae = root / "data" / "saes" / audit
        sae.mkdir(parents=True)
        for name in ("sae.safetensors", "config.json"):
            (sae / name).write_text(f"{name} of {audit}")
        texts = root / "data" / "texts" / f"{audit}.parquet"
        texts.parent.mkdir(parents=True, exist_ok=True)
        texts.write_text(f"texts of {audit}")
        manifest = root / "data" / "manifests" / dataset
        manifest.mkdir(parents=True, exist_ok=True)
        (manifest / "classes.json").write_text('[{"label": "bat", "short": "bat"}]')
        (manifest / "reading.json").write_text('{"pixels": {"as": "shown", "bits": 8}}')
        (sae / "curves.csv").write_text("epoch,loss,l0\n1,0.5,4\n2,0.25,\n3,0.125,3.5\n")
    head = root / "data" / "heads" / "shared"
    head.mkdir(parents=True)
    (head / "head.safetensors").write_text("a head")
    (head / "model.json").write_text('{"weights_sha256": "ab12"}')
    stages = {
        f"prepare@{dataset}": {
            "cmd": "prepare",
            "outs": [
                {"path": f"data/manifests/{dataset}/dataset.json", "md5": "1" * 32},
                {"path": f"data/manifests/{dataset}/manifest.parquet", "md5": digest(dataset)},
            ],
        }
        for dataset in DATASETS.values()
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def invented_model(root: Path) -> Model:
    """Files that are no weights, which are stored and never loaded."""
    folder = root / "data" / "saes" / "scenes-tiny"
    return Model({"config.json": folder / "config.json"}, {"clip": "data/models/tiny"})


def digest(dataset: str) -> str:
    return dataset[0].encode().hex() * 16


def client_of(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["publish", *arguments])
    main()


def runs_of(root: Path, dataset: str) -> list[Run]:
    client = client_of(root)
    experiment = client.get_experiment_by_name(dataset)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))
