"""The registered model of an audit: a version each, and the codes and relevances of `explain`."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from audits.explain.explanation import explain
from audits.explain.sources import ask_classes, read_audited, read_picture
from audits.publish import tracking
from audits.publish.model import read_model
from audits.publish.runs import publish
from audits.publish.version import Version
from pipeline import layout
from pipeline.embeddings.vectors import read_embeddings
from tests.audits.explain.invented import CLASSES, build, params

pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*[Tt]ype hint:UserWarning"),
]
NAME = "a"


@pytest.fixture(scope="module")
def published(
    clip_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MlflowClient, Version]]:
    """The invented audit of `explain`, the current directory, with one version in MLflow."""
    root = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        build(clip_folder)
        tracking.make_database(root / "mlflow.db")
        uri = f"sqlite:///{root / 'mlflow.db'}"
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("MLFLOW_REGISTRY_URI", uri)
        client = tracking.connect(uri)
        version = Version(
            audit=NAME, dataset="zoo", fingerprint="1" * 64, params={}, metrics={}, curves=[],
            tags={}, source="raw", digest="0" * 32, files=[], headline="a zoo", findings=[],
            model=read_model(params(), NAME),
        )  # fmt: skip
        publish(client, version, str(root / "mlartifacts"))
        yield client, version


def models(client: MlflowClient) -> dict[str, str]:
    """Number of each version of the model, and where it lies."""
    return {str(one.version): one.source for one in client.search_model_versions(f"name='{NAME}'")}


def of_explain(image: Path, label: str) -> tuple[float, list[tuple[int, float, float, float]]]:
    audited = read_audited(params(), NAME)
    (asked,) = ask_classes([label], audited)
    found = explain(read_picture(image, audited), asked, audited, top=1).outputs
    return found.y, [(e.component, e.activation, e.relevance, e.effect) for e in found.effects]


def rows(table) -> list[tuple[float, list[tuple[int, float, float, float]]]]:
    lists = ("component", "activation", "relevance", "effect")
    return [
        (row["y"], list(zip(*(row[name] for name in lists), strict=True)))
        for _, row in table.iterrows()
    ]


def test_it_gives_the_codes_and_relevances_of_explain(published) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@current")
    images = sorted(Path("raw").rglob("*.png"))[:3]
    label = CLASSES[2]["label"]
    expected = [of_explain(image, label) for image in images]
    assert all(codes for _, codes in expected)
    asked = {"label": label}
    assert rows(model.predict([str(image) for image in images], params=asked)) == expected
    assert rows(model.predict([image.read_bytes() for image in images], params=asked)) == expected


def test_embeddings_need_no_clip(published, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_embeddings(layout.embeddings("e"), "x")
    audited = read_audited(params(), NAME)
    model = mlflow.pyfunc.load_model(f"models:/{NAME}/1", model_config={"clip": "gone"})
    table = model.predict(found.values)
    codes = audited.sae.encode(torch.from_numpy(found.values))
    for row, component, activation in zip(
        table.itertuples(), codes.component, codes.activation, strict=True
    ):
        order = np.argsort(row.component)
        mine = component[activation > 0].argsort()
        assert np.array(row.component)[order].tolist() == component[activation > 0][mine].tolist()
        np.testing.assert_allclose(
            np.array(row.activation)[order], activation[activation > 0][mine], rtol=1e-5
        )
    y = found.values[0]
    best = max(CLASSES, key=lambda entry: model.predict(y[None], {"label": entry["label"]}).y[0])
    assert table.label[0] == best["label"], "the class whose prompt it is closest to"
    with pytest.raises(ValueError, match=r"gone.*open_clip folder"):
        model.predict([b"an image"])
    with pytest.raises(ValueError, match="there is no class 'owl'"):
        model.predict(found.values, params={"label": "owl"})
    with pytest.raises(ValueError, match=r"embeddings \[n, 64\] are needed"):
        model.predict(found.values[:, :7])


def test_a_version_of_the_audit_is_one_of_the_model(published) -> None:
    client, version = published
    publish(client, version, None)
    first = models(client)
    assert list(first) == ["1"]
    publish(client, replace(version, fingerprint="2" * 64), None)
    assert models(client) == {"1": first["1"], "2": first["1"]}, "the same weights lie there once"
    found = client.get_model_version_by_alias(NAME, "current")
    assert (str(found.version), found.tags["audit.fingerprint"]) == ("2", "2" * 64)
    publish(client, version, None)
    assert len(models(client)) == 2
    assert str(client.get_model_version_by_alias(NAME, "current").version) == "1"


def test_nothing_in_it_is_a_pickle(published) -> None:
    kinds = {path.suffix for path in Path("mlartifacts").rglob("*") if path.is_file()}
    assert kinds <= {"", ".py", ".yaml", ".txt", ".json", ".safetensors", ".parquet"}


def test_weights_that_are_not_those_published_are_refused(published, tmp_path: Path) -> None:
    client, _ = published
    folder = mlflow.artifacts.download_artifacts(models(client)["1"], dst_path=str(tmp_path))
    weights = next(Path(folder).rglob("sae.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"sae.safetensors has SHA-256 .* was published"):
        mlflow.pyfunc.load_model(folder)


def test_what_was_deleted_is_put_back(published) -> None:
    client, version = published
    lost = next(Path("mlartifacts").rglob("model"))
    shutil.rmtree(lost)
    publish(client, version, None)
    assert mlflow.pyfunc.load_model(f"models:/{NAME}@current").predict([b""] * 0).empty
