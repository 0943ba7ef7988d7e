"""Embedding of images: order, shards, the head check, red shifts, and images that break."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.attribution import project
from pipeline.config import (
    AuditConfig,
    DatasetConfig,
    EmbedConfig,
    ModelConfig,
    Params,
    ShortcutConfig,
)
from pipeline.embed import check_head, embed_audit, embed_images, perturb, write_head
from pipeline.images import Batch, batches, red_shifted
from pipeline.models.catalog import class_tokens, head_of, load_clip
from pipeline.models.files import read_head, read_texts
from pipeline.store import read_embeddings, read_json, shards, vector_column, write_table

EMBED = EmbedConfig(batch_size=2, workers=0, shard_rows=4, dtype="float32")
SHORTCUT = ShortcutConfig(
    positive="MEL",
    repeats=2,
    top=1,
    red_shift={"added": -1.0, "removed": 0.2},
    alpha=0.5,
    quantiles=(0.4, 0.9),
)


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(ModelConfig(name=f"local-dir:{clip_folder}", pretrained=None, note="tiny"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(7):
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def images():
    order = [5, 0, 6, 2, 1, 4, 3]
    return pd.DataFrame(
        {
            "image_id": [f"id{index}" for index in order],
            "path": [f"{index}.png" for index in order],
            "split": ["train"] * 4 + ["val"] * 2 + ["test"],
        }
    )


def audit(shortcut: ShortcutConfig | None) -> AuditConfig:
    return AuditConfig.model_construct(dataset="d", model="m", embed=EMBED, shortcut=shortcut)


def params(root) -> Params:
    return Params.model_construct(
        datasets={"d": DatasetConfig.model_construct(root=root)},
        models={"m": ModelConfig(name="local-dir:somewhere", pretrained=None, note="tiny")},
    )


def tokens_one_by_one(clip, images, root) -> np.ndarray:
    pixels = [clip.preprocess(Image.open(root / path).convert("RGB")) for path in images["path"]]
    return np.concatenate([class_tokens(clip.model, p[None]).numpy() for p in pixels])


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_the_manifest_s_whatever_the_workers(clip, images, root, tmp_path, workers):
    config = EMBED.model_copy(update={"workers": workers})
    head = head_of(clip.model)
    count = embed_audit(clip, head, images, root, config, tmp_path / "e", clip.preprocess, "embed")
    found = read_embeddings(tmp_path / "e", "x")
    assert count == 7
    assert found.image_ids.tolist() == images["image_id"].tolist()
    assert np.allclose(found.values, tokens_one_by_one(clip, images, root), atol=1e-5)


def test_shards_hold_whole_batches_in_the_precision_asked_for(tmp_path):
    stream = (
        Batch([f"{start + i}" for i in range(3)], torch.full((3, 1, 1, 1), float(start)))
        for start in (0, 3, 6, 9)
    )
    config = EmbedConfig(batch_size=3, workers=0, shard_rows=5, dtype="float16")
    count = embed_images(
        stream, lambda pixels: pixels.flatten(1).repeat(1, 2), "z", config, tmp_path
    )
    tables = [pq.read_table(path) for path in shards(tmp_path)]
    assert count == 12
    assert [len(table) for table in tables] == [6, 6]
    assert tables[0].schema.field("z").type.value_type == pa.float16()
    found = read_embeddings(tmp_path, "z")
    assert found.image_ids.tolist() == [str(index) for index in range(12)]
    assert found.values[:, 1].tolist() == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9]


def test_the_head_check_passes_the_model_s_head_and_no_other(clip):
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    head = head_of(clip.model)
    x = class_tokens(clip.model, pixels)
    check_head(clip, x, pixels, head)
    with pytest.raises(RuntimeError, match="does not reproduce"):
        check_head(clip, x, pixels, head._replace(beta=torch.zeros_like(head.beta)))
    with pytest.raises(RuntimeError, match="does not reproduce"):
        check_head(clip, x.roll(1, dims=0), pixels, head)


def test_a_truncated_image_names_its_file(clip, tmp_path):
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    images = pd.DataFrame({"image_id": ["a", "b"], "path": ["whole.png", "cut.png"]})
    with pytest.raises(OSError, match=r"cut\.png.*dvc repro prepare"):
        list(batches(images, tmp_path, clip.preprocess, 2, 0, "test"))


def test_a_missing_image_names_its_file_from_a_worker(clip, tmp_path):
    images = pd.DataFrame({"image_id": ["a"], "path": ["gone.png"]})
    with pytest.raises(OSError, match=r"gone\.png"):
        list(batches(images, tmp_path, clip.preprocess, 2, 1, "test"))


@pytest.mark.parametrize(
    ("delta", "red"), [(-1.0, [0, 100, 255, 255]), (0.2, [0, 40, 160, 204]), (0.0, None)]
)
def test_red_shift_by_hand(delta, red):
    before = np.array([[[0, 9, 8], [50, 7, 6], [200, 5, 4], [255, 3, 2]]], dtype=np.uint8)
    shift = red_shifted(lambda image: torch.from_numpy(np.array(image)), delta)
    after = shift(Image.fromarray(before)).numpy()
    assert after[0, :, 0].tolist() == (red or [0, 50, 200, 255])
    assert np.array_equal(after[..., 1:], before[..., 1:])


def test_perturb_shifts_the_images_outside_train(clip, images, root, tmp_path):
    perturb(clip, images, root, EMBED, SHORTCUT.red_shift, tmp_path / "p")
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["added", "removed"]
    plain = tokens_one_by_one(clip, images[4:], root)
    for shift in ("added", "removed"):
        found = read_embeddings(tmp_path / "p" / shift, "x")
        assert found.image_ids.tolist() == ["id1", "id4", "id3"]
        assert np.abs(found.values - plain).max() > 1e-2


def test_the_head_survives_the_disk(clip, root, tmp_path):
    head = head_of(clip.model)
    write_head(tmp_path / "head", clip, head, audit(None), params(root))
    read = read_head(tmp_path / "head")
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(project(x, read), project(x, head))
    about = read_json(tmp_path / "head" / "model.json")
    assert (about["d_pre"], about["d_post"], about["note"]) == (64, 48, "tiny")
    assert about["weights_sha256"] == clip.weights_sha256


def test_texts_come_back_by_form_in_the_order_of_classes(tmp_path):
    t = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns = {"form": ["short", "short", "both", "both"], "label": ["b", "a", "b", "a"]}
    write_table(tmp_path / "t.parquet", pa.table(columns | {"t": vector_column(t)}))
    found = read_texts(tmp_path / "t.parquet", ["b", "a"])
    assert list(found) == ["short", "both"]
    assert found["short"].tolist() == t[:2].tolist()
    assert found["both"].tolist() == t[2:].tolist()
    with pytest.raises(ValueError, match="other classes"):
        read_texts(tmp_path / "t.parquet", ["a", "b"])
