"""Fixtures shared by the tests: an invented audit, a small open_clip model on disk, a bucket of S3.

Torch is imported inside the fixtures, so that tests without it start at once.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests.small_repository import repository_copy, run, small_params

if TYPE_CHECKING:
    from upath import UPath

# `pytest --hypothesis-profile=long` draws many more cases, and others each time.
SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "suite",
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=SLOW_IS_FINE,
)
settings.register_profile(
    "long", max_examples=3000, deadline=None, suppress_health_check=SLOW_IS_FINE
)
settings.load_profile("suite")

CLASSES = {
    "n01": "bat, small animal with wings",
    "n02": "hot dog, sausage in a bun",
    "n03": "ship, large vessel",
}
"""Label → full name of the invented audit's classes."""

NUMBERS = count()
"""Of buckets."""

PLANTED = 23
"""Component that pulls images of n02 towards the prompt of n01, where a plant is asked for."""


@pytest.fixture(scope="session")
def head():
    """A head whose LayerNorm is far from weight 1 and bias 0, d = 24 and p = 18."""
    import torch

    from pipeline.attribution.head import Head

    generator = torch.Generator().manual_seed(3)
    return Head(
        gamma=torch.rand(24, generator=generator) + 0.5,
        beta=0.3 * torch.randn(24, generator=generator),
        eps=1e-5,
        w_proj=torch.randn(24, 18, generator=generator),
    )


@pytest.fixture(scope="session")
def invent(head):
    """Make an audit up: `invent(planted=True, train=60, val=30, seed=0) -> Inputs`.

    Three classes, 24 components, 4 slots. Component c + 1 fires on all images of class c, others
    fire at random, one slot in five is empty. Where planted, every other image of n02 also fires
    PLANTED, whose atom is nearly the one of n01's own component.
    """
    import torch

    from audits.inputs import Inputs
    from pipeline.attribution.head import project, unit
    from pipeline.attribution.relevance import Codes, decode

    def build(*, planted: bool = True, train: int = 60, val: int = 30, seed: int = 0) -> Inputs:
        rng = np.random.default_rng(seed)
        m, k, each = 24, 4, train + val
        n = len(CLASSES) * each
        target = np.repeat(np.arange(len(CLASSES)), each)
        component = np.stack([5 + rng.permutation(m - 6)[:k] for _ in range(n)])
        activation = rng.uniform(0.3, 1.0, (n, k)) * (rng.random((n, k)) > 0.2)
        component[:, 0], activation[:, 0] = target + 1, rng.uniform(1.0, 4.0, n)
        if planted:
            carrying = (target == 1) & (np.arange(n) % 2 == 0)
            component[carrying, 1], activation[carrying, 1] = PLANTED, 6.0
        component[activation == 0] = 0
        atoms = rng.normal(size=(m, 24))
        atoms[PLANTED] = atoms[1] + 0.2 * atoms[PLANTED]
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        codes = Codes(torch.from_numpy(component), torch.from_numpy(activation).float())
        tensors = (
            torch.from_numpy(atoms).float(),
            torch.from_numpy(0.1 * rng.normal(size=24)).float(),
        )
        noise = torch.from_numpy(0.05 * rng.normal(size=(n, 24))).float()
        x = decode(codes, tensors[0]) + tensors[1] + noise
        plain = decode(Codes(torch.tensor([[1], [2], [3]]), torch.full((3, 1), 3.0)), tensors[0])
        t = unit(project(plain + tensors[1], head))
        splits = np.tile(np.repeat(["train", "val"], [train, val]), len(CLASSES))
        labels = np.array(list(CLASSES))[target]
        ids = [
            f"{s}/{label}/{i:04d}" for i, (s, label) in enumerate(zip(splits, labels, strict=True))
        ]
        images = pd.DataFrame({"image_id": ids, "split": splits, "label": labels})
        images["path"] = images["image_id"] + ".png"
        images["group_id"] = images["image_id"]
        names = list(CLASSES.values())
        classes = pd.DataFrame({"label": list(CLASSES), "name": names})
        classes["short"] = [name.split(",")[0] for name in names]
        texts = {"short": t, "both": unit(t + 0.1)}
        return Inputs(images, x, codes, head, *tensors, classes, texts)

    return build


@pytest.fixture(scope="session")
def inputs(invent):
    """The planted audit."""
    return invent()


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A folder that `local-dir:` loads: a CLIP of random weights, ln_post far from 1 and 0."""
    import torch
    from open_clip import CLIP
    from safetensors.torch import save_file

    config = {
        "embed_dim": 48,
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 16,
            "width": 64,
            "layers": 2,
            "head_width": 32,
        },
        "text_cfg": {"context_length": 8, "width": 32, "layers": 1, "heads": 2},
    }
    torch.manual_seed(5)
    model = CLIP(**config)
    with torch.no_grad():
        model.visual.ln_post.weight.uniform_(0.2, 3.0)
        model.visual.ln_post.bias.normal_(0.0, 1.0)
    folder = tmp_path_factory.mktemp("clip")
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    return folder


@pytest.fixture(scope="session")
def permuted(inputs):
    """The planted audit with its images in another order."""
    import torch

    from pipeline.attribution.relevance import Codes

    order = np.random.default_rng(1).permutation(len(inputs.images))
    rows = torch.from_numpy(order)
    return replace(
        inputs,
        images=inputs.images.iloc[order].reset_index(drop=True),
        x=inputs.x[rows],
        codes=Codes(inputs.codes.component[rows], inputs.codes.activation[rows]),
    )


@pytest.fixture(scope="session")
def sae_config():
    """Settings of a small SAE, with changes: `sae_config(kind="topk", k=2) -> SaeConfig`."""
    from pipeline.config import SaeConfig

    values = {
        "kind": "topk",
        "components": 12,
        "k": 3,
        "tokens": "class",
        "loss": "unit",
        "epochs": 3,
        "epoch_fraction": 1.0,
        "batch_size": 20,
        "learning_rate": 0.01,
        "warmup": 0,
        "decay_after": [],
        "clip": 1.0,
        "centre": True,
        "atoms_init": "kmeans",
        "encoder_init": "transpose",
        "auxk": 0.0,
        "auxk_k": 4,
        "dead_after": 1.0,
        "revive_after": [],
        "prefixes": [0.25, 0.5],
        "device": "cpu",
        "devices": 1,
    }
    return lambda **changes: SaeConfig(**(values | changes))


@pytest.fixture(scope="session")
def blocks_of(tmp_path_factory):
    """Write embeddings in shards and open them: `blocks_of(x, spatial, columns)`.

    x is [n, d], spatial [n, s, d] or None; columns are those to open, all where None.
    """
    from pipeline.embeddings.vectors import vector_table, write_vectors
    from pipeline.sae.blocks import EmbeddingBlocks

    def write(x, spatial=None, columns=None):
        folder = tmp_path_factory.mktemp("embeddings")
        given = {"x": x.numpy()}
        if spatial is not None:
            given["spatial"] = spatial.flatten(1).numpy()
        ids = [f"i{row:04d}" for row in range(len(x))]
        for number, first in enumerate(range(0, len(x), 37)):
            rows = slice(first, first + 37)
            part = {name: value[rows] for name, value in given.items()}
            write_vectors(folder, number, [vector_table(ids[rows], part)])
        manifest = pd.DataFrame({"image_id": ids, "split": "train"})
        return EmbeddingBlocks.open(folder, manifest, "train", columns or tuple(given))

    return write


@pytest.fixture(scope="session")
def mixtures():
    """Embeddings [93, 7]: sparse mixtures of nine directions, away from the origin."""
    import torch

    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(93, 9, generator=generator)
    directions = 5 * torch.randn(9, 7, generator=generator)
    return (weights * (weights > 0.7)) @ directions + 3 * torch.arange(7)


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    """A small `dvc repro` of the lesions, up to their comparison; to be left as it is.

    It takes minutes, so that it is run once and copied by each of the processes among which
    pytest-xdist divides the tests.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "repository"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.with_suffix(".made").exists():
            folder.mkdir()
            repository_copy(folder)
            (folder / "params.yaml").write_text(yaml.safe_dump(small_params()), encoding="utf-8")
            run(folder, "dvc", "repro", "compare@lesions")
            folder.with_suffix(".made").touch()
        own = base / "own" / "repository"
        return shutil.copytree(folder, own, symlinks=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of a server that speaks S3, on this machine and in memory."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its address, in the environment with who reads there, as a user has both."""
    from tests.pipeline.invented_store import credentials

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # where indexes of tars are kept
    for name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in credentials(s3_server).items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def bucket(s3: str) -> "Callable[[Path], UPath]":
    """Puts a folder's files into a bucket of their own: `bucket(folder)` is where they lie."""
    from s3fs import S3FileSystem
    from upath import UPath

    from tests.pipeline.invented_store import forget

    forget()  # of another test, with what it has listed

    def put(folder: Path) -> "UPath":
        store = S3FileSystem()
        name = f"bucket-{next(NUMBERS)}"
        store.mkdir(name)
        for path in folder.rglob("*"):
            if path.is_file():
                store.pipe_file(f"{name}/of/{path.relative_to(folder)}", path.read_bytes())
        return UPath(f"s3://{name}/of")

    return put
