"""The small CLIP: what is saved is what was trained, and training is repeatable."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from pipeline.artifacts.store import write_table
from pipeline.config import PretrainConfig
from pipeline.samples import pretrain

CONFIG = PretrainConfig(
    datasets=["shapes"],
    image_size=16,
    patch_size=8,
    width=64,
    layers=1,
    text_layers=1,
    context_length=8,
    epochs=3,
    batch_size=4,
    learning_rate=3e-3,
    weight_decay=0.1,
    workers=0,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only lose time on threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Nine grey-level pictures, wider than high, with a caption or two each."""
    rows = []
    for i in range(9):
        rng = np.random.default_rng(i)
        pixels = rng.integers(0, 255, (20, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows += [(f"{i}.png", f"picture {i}")] + [(f"{i}.png", "a picture")] * (i % 2)
    return pd.DataFrame(rows, columns=["path", "caption"])


def test_captions_of_train_images_of_all_datasets_are_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for dataset, caption in (("b", "a bat, small"), ("a", "None")):
        folder = tmp_path / "data" / "raw" / dataset
        folder.mkdir(parents=True)
        rows = f'path,caption\ntrain/0.jpg,"{caption}"\ntrain/1.jpg,"held out"\n'
        (folder / "captions.csv").write_text(rows)
        images = {"path": ["train/0.jpg", "train/1.jpg"], "split": ["train", "val"]}
        write_table(
            tmp_path / "data" / "manifests" / dataset / "manifest.parquet", pd.DataFrame(images)
        )
    read = pretrain.read_captions(["b", "a"])
    assert read.to_numpy().tolist() == [
        ["b/train/0.jpg", "a bat, small"],
        ["a/train/0.jpg", "None"],
    ]


def test_each_image_is_decoded_once_and_keeps_its_captions(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    data = pretrain.captioned(table, tmp_path, CONFIG)
    assert data.pixels.shape == (9, 3, 16, 16)
    assert data.tokens.shape == (10, 8)  # nine captions of their own, and one shared
    assert [len(rows) for rows in data.choices] == [1, 2, 1, 2, 1, 2, 1, 2, 1]


def test_training_lowers_the_loss_and_is_repeatable(table: pd.DataFrame, tmp_path: Path) -> None:
    data = pretrain.captioned(table, tmp_path, CONFIG)
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        model = pretrain.build(CONFIG)
        curve = [row["loss"] for row in pretrain.train(model, data, CONFIG, seed=1)]
        runs.append((curve, model.state_dict()))
    assert len(runs[0][0]) == CONFIG.epochs
    assert runs[0][0][-1] < runs[0][0][0]
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(runs[0][1][name], runs[1][1][name]) for name in runs[0][1])


def test_saved_model_gives_the_embeddings_that_were_trained(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    data = pretrain.captioned(table, tmp_path, CONFIG)
    torch.manual_seed(0)
    model = pretrain.build(CONFIG)
    curves = pd.DataFrame(list(pretrain.train(model, data, CONFIG, seed=1)))
    pretrain.save(model, CONFIG, curves, tmp_path / "tiny")

    name = f"local-dir:{tmp_path / 'tiny'}"
    loaded, _, preprocess = open_clip.create_model_and_transforms(name)
    loaded.eval()
    image = preprocess(Image.open(tmp_path / "4.png"))[None]
    tokens = open_clip.get_tokenizer(name)(["picture 4"])
    with torch.inference_mode():
        trained = model.encode_image(pretrain.normalised(data.pixels[4:5]))
        assert torch.allclose(loaded.encode_image(image), trained, atol=1e-5)
        assert torch.equal(loaded.encode_text(tokens), model.encode_text(tokens))
    assert pd.read_csv(tmp_path / "tiny" / "curves.csv").columns.tolist() == [
        "epoch",
        "loss",
    ]


def test_tower_pools_the_class_token_and_projects_it() -> None:
    tower = pretrain.build(CONFIG).visual
    assert isinstance(tower, open_clip.transformer.VisionTransformer)
    assert tower.pool_type == "tok" and tower.attn_pool is None
    assert tower.proj.shape == (64, 64)


def test_rate_warms_up_then_falls_to_zero() -> None:
    rates = [pretrain.rate(step, 40) for step in range(41)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[40] == pytest.approx(0)
    assert all(a >= b for a, b in pairwise(rates[4:]))


def test_matrices_decay_and_vectors_do_not() -> None:
    decayed, spared = pretrain.parameter_groups(pretrain.build(CONFIG), 0.3)
    assert decayed["weight_decay"] == 0.3 and spared["weight_decay"] == 0
    assert all(p.ndim >= 2 for p in decayed["params"])
    assert all(p.ndim < 2 for p in spared["params"])


def test_patch_that_does_not_divide_the_image_is_refused() -> None:
    with pytest.raises(ValidationError, match="patch_size is 5"):
        PretrainConfig(**(CONFIG.model_dump() | {"patch_size": 5}))
