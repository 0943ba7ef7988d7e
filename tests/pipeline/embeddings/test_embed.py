"""Embedding of images: order, shards, resuming, the head check, images that break."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.artifacts.shards import shards
from pipeline.artifacts.store import read_json, vector_column, write_json, write_table
from pipeline.attribution.head import project
from pipeline.config import EmbedConfig
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings import embedder
from pipeline.embeddings.embed import embed_images, shards_key, write_head
from pipeline.embeddings.embedder import check_head, columns_of, drawn_tokens, embed_shards
from pipeline.embeddings.forward import Forward, Ran
from pipeline.embeddings.images import batches, parts_left, runs
from pipeline.embeddings.perturb import as_embedded
from pipeline.embeddings.vectors import read_embeddings
from pipeline.models.catalog import class_tokens, head_of, load_clip
from pipeline.models.files import read_head, read_texts

EMBED = EmbedConfig(
    batch_size=2, workers=0, shard_rows=3, dtype="float32",
    spatial_tokens=0, device="cpu", precision="float32",
)  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Unfinished work is kept relative to the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(clip_folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(7):
        pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def images(root):
    order = [5, 0, 6, 2, 1, 4, 3]
    paths = [f"{index}.png" for index in order]
    return pd.DataFrame(
        {
            "image_id": [f"id{index}" for index in order],
            "path": paths,
            "split": ["train"] * 4 + ["val"] * 2 + ["test"],
            "sha256": [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in paths],
        }
    )


def tokens_one_by_one(clip, images, root) -> np.ndarray:
    pixels = [clip.preprocess(Image.open(root / path).convert("RGB")) for path in images["path"]]
    return np.concatenate([class_tokens(clip.model, p[None]).numpy() for p in pixels])


def brightness_shards(images, root, config, folder) -> None:
    """Shards of vectors that say how bright each image is."""

    def brightness(pixels, _):
        return pixels.flatten(1).float().mean(dim=1, keepdim=True).repeat(1, 2)

    def pixels_of(image):
        return torch.from_numpy(np.array(image))

    parts = parts_left(images, config.shard_rows, folder)
    how = (root, SHOWN, pixels_of, brightness, "z", config, folder, "test")
    assert list(embed_shards(parts, *how)) == [part.number for part in parts]


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_are_the_manifest_s_whatever_the_workers(clip, images, root, tmp_path, workers):
    config = EMBED.model_copy(update={"workers": workers})
    ran = embed_images(clip, images, root, SHOWN, config, tmp_path / "e", "embed")
    found = read_embeddings(tmp_path / "e", "x")
    assert ran == Ran("cpu", "float32", 1.0)
    assert found.image_ids.tolist() == images["image_id"].tolist()
    assert np.allclose(found.values, tokens_one_by_one(clip, images, root), atol=1e-5)


def last_block(clip, images, root) -> torch.Tensor:
    """Output of the last block for each image [n, 1 + t, d], by a hook."""
    pixels = [clip.preprocess(Image.open(root / path).convert("RGB")) for path in images["path"]]
    caught = []
    block = clip.model.visual.transformer.resblocks[-1]
    hook = block.register_forward_hook(lambda _, inputs, output: caught.append(output))
    with torch.inference_mode():
        clip.model.encode_image(torch.stack(pixels))
    hook.remove()
    return caught[0]


def spatial(folder) -> np.ndarray:
    """The column of spatial tokens, [n, s, 64]."""
    return read_embeddings(folder, "spatial").values.reshape(7, -1, 64)


def test_spatial_tokens_are_the_last_block_s(clip, images, root, tmp_path):
    tokens = last_block(clip, images, root).numpy()
    for count in (4, 9):  # 4 of 2 × 2 patches, and more than there are
        config = EMBED.model_copy(update={"spatial_tokens": count})
        embed_images(clip, images, root, SHOWN, config, tmp_path / str(count), "embed")
        assert np.allclose(spatial(tmp_path / str(count)), tokens[:, 1:], atol=1e-5)
        found = read_embeddings(tmp_path / str(count), "x")
        assert found.image_ids.tolist() == images["image_id"].tolist()
        assert np.allclose(found.values, tokens[:, 0], atol=1e-5)


def test_the_draw_of_spatial_tokens_depends_on_the_image_alone(clip, images, root, tmp_path):
    config = EMBED.model_copy(update={"spatial_tokens": 3, "dtype": "float16"})
    embed_images(clip, images, root, SHOWN, config, tmp_path / "a", "embed")
    drawn = drawn_tokens(images["sha256"].tolist(), 4, 3)
    tokens = last_block(clip, images, root).numpy()
    expected = np.stack([tokens[row, 1 + drawn[row]] for row in range(7)])
    assert np.allclose(spatial(tmp_path / "a"), expected, atol=2e-3)
    assert len(np.unique(drawn, axis=0)) > 1
    other = EMBED.model_copy(update={"spatial_tokens": 3, "batch_size": 3, "shard_rows": 4})
    embed_images(clip, images.iloc[::-1], root, SHOWN, other, tmp_path / "b", "embed")
    assert np.allclose(spatial(tmp_path / "b")[::-1], expected, atol=1e-5)


def test_tokens_are_drawn_without_replacement_and_evenly():
    digests = [hashlib.sha256(bytes([i, j])).hexdigest() for i in range(20) for j in range(100)]
    drawn = drawn_tokens(digests, 9, 3)
    assert drawn.shape == (2000, 3)
    assert (np.diff(drawn, axis=1) > 0).all()
    counts = np.bincount(drawn.ravel(), minlength=9)
    # Each token is drawn for a third of the images: a standard deviation of 21.
    assert np.abs(counts - 2000 / 3).max() < 4 * 21.1
    assert drawn_tokens(digests[:2], 5, 7).tolist() == [list(range(5))] * 2


def test_class_tokens_alone_leave_no_other_column(clip, images, root, tmp_path):
    embed_images(clip, images, root, SHOWN, EMBED, tmp_path / "plain", "embed")
    assert pq.read_schema(shards(tmp_path / "plain")[0]).names == ["image_id", "x"]


def test_numbers_too_large_for_the_precision_are_refused():
    config = EMBED.model_copy(update={"dtype": "float16"})
    with pytest.raises(ValueError, match=r"dtype of these .* float16.*7e\+04; set it to float32"):
        columns_of(torch.tensor([[7e4, 1.0], [2.0, 3.0]]), "x", config)


def test_runs_cross_no_shard():
    assert runs(7, 2, 3) == [range(0, 2), range(2, 3), range(3, 5), range(5, 6), range(6, 7)]
    assert runs(5, 2) == [range(0, 2), range(2, 4), range(4, 5)]
    assert runs(0, 2) == []


def test_shards_hold_their_rows_in_the_precision_asked_for(images, root, tmp_path):
    config = EMBED.model_copy(update={"dtype": "float16"})
    brightness_shards(images, root, config, tmp_path)
    tables = [pq.read_table(path) for path in shards(tmp_path)]
    assert [len(table) for table in tables] == [3, 3, 1]
    assert tables[0].schema.field("z").type.value_type == pa.float16()
    found = read_embeddings(tmp_path, "z")
    assert found.image_ids.tolist() == images["image_id"].tolist()
    assert len(set(found.values[:, 1].tolist())) > 3


def _killed():
    raise KeyboardInterrupt


def test_a_run_that_was_stopped_goes_on_and_gives_the_same_files(
    clip, images, root, tmp_path, monkeypatch
):
    whole, again = tmp_path / "whole", tmp_path / "again"
    write, made = embedder.write_vectors, []

    def stopped(folder, number, tables, store):
        if number == 1:
            tables = (_killed() if row else table for row, table in enumerate(tables))
        write(folder, number, tables, store)

    def counted(folder, number, tables, store):
        made.append(number)
        write(folder, number, tables, store)

    config = EMBED.model_copy(update={"spatial_tokens": 3})
    embed_images(clip, images, root, SHOWN, config, whole, "embed")
    monkeypatch.setattr(embedder, "write_vectors", stopped)
    with pytest.raises(KeyboardInterrupt):
        embed_images(clip, images, root, SHOWN, config, again, "embed")
    assert not again.exists()
    monkeypatch.setattr(embedder, "write_vectors", counted)
    embed_images(clip, images, root, SHOWN, config, again, "embed")
    assert made == [1, 2]
    for name in (path.name for path in shards(whole)):
        assert (again / name).read_bytes() == (whole / name).read_bytes()


def test_the_key_of_shards_is_of_what_decides_them(clip, images):
    ran = Ran("cpu", "float32", 1.0)
    key = shards_key(clip, images, EMBED, ran, ["x"])
    for same in ({"workers": 3}, {"precision": "auto"}, {"device": "auto"}):
        assert key == shards_key(clip, images, EMBED.model_copy(update=same), ran, ["x"])
    others = [
        shards_key(clip, images.iloc[::-1], EMBED, ran, ["x"]),
        shards_key(clip, images.assign(sha256="0"), EMBED, ran, ["x"]),
        shards_key(clip, images, EMBED.model_copy(update={"dtype": "float16"}), ran, ["x"]),
        shards_key(clip, images, EMBED, ran._replace(precision="bfloat16"), ["x"]),
        shards_key(clip, images, EMBED, ran._replace(device="cuda"), ["x"]),
        shards_key(clip, images, EMBED.model_copy(update={"spatial_tokens": 1}), ran, ["x"]),
        shards_key(clip, images, EMBED, ran, ["x", 0.2]),
        shards_key(clip, images, EMBED, ran, ["x", SHOWN]),
        shards_key(clip, images, EMBED, ran, ["x", SHOWN._replace(how="stored")]),
        shards_key(clip, images, EMBED, ran, ["x", SHOWN._replace(bits=12)]),
        shards_key(replace(clip, weights_sha256="other"), images, EMBED, ran, ["x"]),
        shards_key(replace(clip, preprocessing={"size": 31}), images, EMBED, ran, ["x"]),
    ]
    assert len({key, *others}) == 13


def test_a_run_that_goes_on_in_another_precision_begins_anew(
    clip, images, root, tmp_path, monkeypatch
):
    """What `auto` becomes may change between a kill and the next run: another GPU, or none."""
    config = EMBED.model_copy(update={"precision": "auto"})
    half = EMBED.model_copy(update={"precision": "bfloat16"})
    ran = embed_images(clip, images, root, SHOWN, half, tmp_path / "whole", "embed")
    write = embedder.write_vectors

    def stopped(folder, number, tables, store):
        if number == 1:
            _killed()
        write(folder, number, tables, store)

    monkeypatch.setattr(embedder, "write_vectors", stopped)
    with pytest.raises(KeyboardInterrupt):
        embed_images(clip, images, root, SHOWN, config, tmp_path / "again", "embed")
    monkeypatch.setattr(embedder, "write_vectors", write)
    cosine = ran.cosine_to_float32
    monkeypatch.setattr(Forward, "_settle", lambda *_: (torch.bfloat16, cosine))
    assert embed_images(clip, images, root, SHOWN, config, tmp_path / "again", "embed") == ran
    for path in shards(tmp_path / "whole"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_the_head_check_passes_the_model_s_head_and_no_other(clip):
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    head = head_of(clip.model)
    check_head(clip.model, pixels, head)
    with pytest.raises(RuntimeError, match="does not reproduce"):
        check_head(clip.model, pixels, head._replace(beta=torch.zeros_like(head.beta)))


def test_a_truncated_image_names_its_file(clip, tmp_path):
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    images = pd.DataFrame({"image_id": ["a", "b"], "path": ["whole.png", "cut.png"]})
    with pytest.raises(OSError, match=r"cut\.png.*dvc repro prepare"):
        list(batches(images, tmp_path, SHOWN, clip.preprocess, [range(2)], 0, "test"))


def test_a_missing_image_names_its_file_from_a_worker(clip, tmp_path):
    images = pd.DataFrame({"image_id": ["a"], "path": ["gone.png"]})
    with pytest.raises(OSError, match=r"gone\.png"):
        list(batches(images, tmp_path, SHOWN, clip.preprocess, [range(1)], 1, "test"))


def test_a_deep_image_is_embedded_as_its_8_bits_are(clip, tmp_path):
    grey = np.asarray(Image.effect_noise((40, 40), 60))
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "f.tiff")
    paths = ["8.png", "16.png", "f.tiff"]
    images = pd.DataFrame({"image_id": paths, "path": paths, "sha256": ["1", "2", "3"]})
    images["sha256"] = [hashlib.sha256((tmp_path / p).read_bytes()).hexdigest() for p in paths]
    embed_images(clip, images, tmp_path, SHOWN, EMBED, tmp_path / "out", "test")
    found = read_embeddings(tmp_path / "out", "x").values
    assert np.allclose(found[0], found[1], atol=1e-4)
    assert np.allclose(found[0], found[2], atol=1e-4)


def test_an_image_that_has_changed_since_the_manifest_is_refused(clip, images, root):
    changed = images.assign(sha256=["0" * 64, *images["sha256"][1:]])
    with pytest.raises(OSError, match=r"5\.png: its bytes have changed.*dvc repro prepare"):
        list(batches(changed, root, SHOWN, clip.preprocess, [range(2)], 0, "test"))


def test_the_head_survives_the_disk(clip, tmp_path):
    head = head_of(clip.model)
    write_head(tmp_path / "head", clip, Ran("cpu", "bfloat16", 0.9999), "m", "float32", head)
    read = read_head(tmp_path / "head")
    x = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(project(x, read), project(x, head))
    about = read_json(tmp_path / "head" / "model.json")
    assert (about["d_pre"], about["d_post"], about["model"]) == (64, 48, "m")
    assert (about["device"], about["precision"], about["dtype"]) == ("cpu", "bfloat16", "float32")
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


def test_shifted_images_are_embedded_in_the_precision_of_the_plain_ones(tmp_path):
    write_json(tmp_path / "model.json", {"device": "cuda", "precision": "float16"})
    auto = EMBED.model_copy(update={"precision": "auto"})
    tokens = auto.model_copy(update={"spatial_tokens": 3})
    assert as_embedded(tokens, tmp_path) == auto.model_copy(update={"precision": "float16"})
