"""What a labeler sees: made of embeddings that are there, for towers of every kind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from pipeline import layout
from pipeline.artifacts.shards import shards
from pipeline.artifacts.store import read_json, read_table
from pipeline.config import ConfigError
from pipeline.embeddings import embed, embed_concepts
from pipeline.embeddings.vectors import read_embeddings
from pipeline.models.catalog import image_embeddings, load_clip
from tests.recipes.results import DATASET, ENTRY, RAW, run, workspace, write_images, write_model

RUN = {"batch_size": 4, "shard_rows": 4, "device": "cpu", "precision": "float32"}


@pytest.fixture
def prepared() -> Iterator[None]:
    """A dataset whose labeler is also audited, and which has a manifest."""
    with workspace(dataset={"vocabulary": "words.csv"}, embeddings=RUN):
        write_images()
        Path("words.csv").write_text("term,kind\ngrass,background\n", encoding="utf-8")
        yield


def change(section: str, **values: object) -> None:
    """Change the only entry of a section of params.yaml, or take it out where nothing is said."""
    raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    raw[section] = {ENTRY: raw[section][ENTRY] | values} if values else {}
    if section == "embeddings":
        raw["datasets"] = {DATASET: raw["datasets"][DATASET]}
        raw["pretrain"]["datasets"] = [DATASET]
    Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")


def the_model_s_own() -> np.ndarray:
    """Unit embeddings of the 8-bit pictures, by the model as a whole, one by one."""
    clip = load_clip(layout.model("tiny"))
    pictures = [Image.open(RAW / f"{number}.ppm").convert("RGB") for number in range(5)]
    pixels = [clip.preprocess(picture)[None] for picture in pictures]
    return torch.cat([image_embeddings(clip.model, one) for one in pixels]).numpy()


def test_a_labeler_s_embeddings_are_made_of_the_audited_model_s_and_of_no_image(prepared):
    write_model(layout.model("tiny"))
    expected = the_model_s_own()
    run(embed.main, "--embeddings", ENTRY)
    assert pq.read_schema(shards(layout.embeddings(ENTRY))[0]).names == ["image_id", "x"]
    shutil.rmtree(RAW)
    run(embed_concepts.main, "--dataset", DATASET)
    found = read_embeddings(layout.concepts_embeddings(DATASET), "z")
    assert found.image_ids.tolist() == list("012345")
    assert np.allclose(found.values[:5], expected, atol=1e-5)
    terms = read_table(layout.concepts_embeddings(DATASET) / "vocabulary.parquet")
    assert terms["term"].tolist() == ["", "grass"]


def test_they_are_stored_as_the_embeddings_are(prepared):
    write_model(layout.model("tiny"))
    change("embeddings", dtype="float16", spatial_tokens=2)
    change("audits")
    run(embed.main, "--embeddings", ENTRY)
    run(embed_concepts.main, "--dataset", DATASET)
    found = read_embeddings(layout.concepts_embeddings(DATASET), "z")
    assert found.values.dtype == np.float16
    assert np.allclose(found.values[:5], the_model_s_own(), atol=2e-3)


def test_a_labeler_that_cannot_be_audited_is_embedded_once_and_without_a_head(prepared):
    write_model(layout.model("tiny"), pool_type="avg")
    change("audits")
    expected = the_model_s_own()
    run(embed.main, "--embeddings", ENTRY)
    plain = layout.embeddings(ENTRY)
    assert [pq.read_schema(path).names for path in shards(plain)] == [["image_id", "z"]] * 2
    assert np.allclose(read_embeddings(plain, "z").values[:5], expected, atol=1e-5)
    assert [path.name for path in layout.head(ENTRY).iterdir()] == ["model.json"]
    about = read_json(layout.head(ENTRY) / "model.json")
    assert (about["model"], about["dtype"], about["precision"]) == ("tiny", "float32", "float32")
    shutil.rmtree(RAW)
    run(embed_concepts.main, "--dataset", DATASET)
    for path in shards(plain):
        there = layout.concepts_embeddings(DATASET) / path.name
        assert there.read_bytes() == path.read_bytes()


def test_an_audit_of_such_a_model_is_refused(prepared):
    write_model(layout.model("tiny"), pool_type="avg")
    with pytest.raises(ConfigError, match=r"pool_type 'avg'.*can still be a labeler"):
        run(embed.main, "--embeddings", ENTRY)


def test_spatial_tokens_of_such_a_model_are_refused(prepared):
    write_model(layout.model("tiny"), pool_type="avg")
    change("audits")
    change("embeddings", spatial_tokens=3)
    with pytest.raises(ConfigError, match=r"spatial_tokens of these embeddings is 3: it must be 0"):
        run(embed.main, "--embeddings", ENTRY)


def test_embeddings_that_nobody_has_are_named(prepared):
    with pytest.raises(ConfigError, match=r"no embeddings\.nope; it has \['lesions-tiny'"):
        run(embed.main, "--embeddings", "nope")
