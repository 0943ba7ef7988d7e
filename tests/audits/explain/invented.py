"""An audit of random images on disk, and what the command says about one of them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from PIL import Image

from audits.explain import __main__ as command
from audits.inputs import load_inputs
from audits.reference.expected import reference
from pipeline import layout
from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import vector_column, write_json, write_table
from pipeline.attribution.head import unit
from pipeline.config import (
    AuditConfig,
    DatasetConfig,
    EmbedConfig,
    ModelConfig,
    Params,
    ReportConfig,
)
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.embed import embed_images, write_head
from pipeline.embeddings.vectors import read_embeddings
from pipeline.models.catalog import head_of, load_clip, text_embeddings
from pipeline.sae import files
from pipeline.sae.codes import codes_table
from pipeline.sae.model import Sae

CLASSES = [
    {"label": "n01", "name": "bat, flying mammal", "short": "bat"},
    {"label": "n02", "name": "<b>, a tag", "short": "<b>"},
    {"label": "n03", "name": "ship, large vessel", "short": "ship"},
]
IMAGES = 12
COMPONENTS, K = 14, 5
EMBED = EmbedConfig(
    batch_size=5, workers=0, shard_rows=8, dtype="float32",
    spatial_tokens=0, device="cpu", precision="float32",
)  # fmt: skip


def params() -> Params:
    audit = AuditConfig.model_construct(
        dataset="zoo",
        model="m",
        embeddings="e",
        report=ReportConfig(gallery=3, thumbnail=16, maps=0),
    )
    zoo = DatasetConfig.model_construct(root=Path("raw"))
    threads = torch.get_num_threads()
    model = ModelConfig(name="local-dir:data/models/m", note="Trained on <nothing>.")
    return Params.model_construct(
        seed=0, threads=threads, audits={"a": audit}, datasets={"zoo": zoo}, models={"m": model}
    )


def build(clip_folder: Path) -> None:
    """Write the artifacts that an explanation reads into the current directory."""
    shutil.copytree(clip_folder, layout.model("m"))
    clip = load_clip(layout.model("m"))
    manifest = _images()
    folder = layout.manifest("zoo")
    write_table(folder / "manifest.parquet", manifest)
    about = {"name": "zoo", "fingerprint": "0123" * 16, "classes": CLASSES}
    write_json(folder / "dataset.json", about | {"pixels": {"as": "shown", "bits": 8}})
    write_json(folder / "classes.json", CLASSES)
    write_json(folder / "reading.json", {"pixels": {"as": "shown", "bits": 8}})
    ran = embed_images(clip, manifest, Path("raw"), SHOWN, EMBED, layout.embeddings("e"), "embed")
    write_head(layout.head("e"), clip, ran, "m", "float32", head_of(clip.model))
    t = text_embeddings(clip, [entry["short"] for entry in CLASSES])
    labels = [entry["label"] for entry in CLASSES]
    texts = {"form": ["short"] * 3, "label": labels, "t": vector_column(t.numpy())}
    write_table(layout.texts("a"), pa.table(texts))
    found = read_embeddings(layout.embeddings("e"), "x")
    x = torch.from_numpy(found.values)
    sae = _sae(x)
    files.save(sae, layout.sae("a"), {})
    codes = sae.encode(x)
    write_shard(layout.codes("a"), 0, codes_table(found.image_ids, codes))
    _labels(found.image_ids.tolist(), codes.component.numpy())
    _, classes = reference(load_inputs(params(), "a"))
    write_table(layout.reference("a") / "classes.parquet", classes)


def _sae(x: torch.Tensor) -> Sae:
    """Random unit atoms, the encoder their transpose, the bias the mean of x."""
    atoms = unit(torch.randn(COMPONENTS, x.shape[1], generator=torch.Generator().manual_seed(4)))
    bias = x.mean(dim=0)
    sae = Sae(COMPONENTS, x.shape[1], K)
    tensors = {"atoms": atoms, "bias": bias, "encoder_weight": atoms, "encoder_bias": -atoms @ bias}
    sae.load_state_dict(tensors)
    return sae.requires_grad_(False)


def _images() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for index in range(IMAGES):
        label = CLASSES[index % 3]["label"]
        path = Path(f"{label}/{index}.png")
        (Path("raw") / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (36, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(Path("raw") / path)
        sha256 = hashlib.sha256((Path("raw") / path).read_bytes()).hexdigest()
        split = "train" if index < 9 else "val"
        rows.append((f"id{index}", path.as_posix(), split, label, f"id{index}", sha256))
    return pd.DataFrame(rows, columns=["image_id", "path", "split", "label", "group_id", "sha256"])


def _labels(image_ids: list[str], component: np.ndarray) -> None:
    """Names of all components but one; one of those active on image 10 is part of a finding."""
    numbers = np.arange(COMPONENTS)
    unnamed = component[10, 1]
    names = pd.Series([f"thing {j} <i>" for j in numbers], dtype="string")
    labels = pd.DataFrame({"component": numbers, "label": names, "kind": None})
    labels["alignment"] = labels["clarity"] = 0.5
    labels["top_images"] = [[image_ids[j % 9], image_ids[(j + 1) % 9]] for j in numbers]
    labels["name_auroc"], labels["name_fits"] = 0.875, pd.array([True] * COMPONENTS, "boolean")
    labels.loc[unnamed, ["label", "alignment", "clarity"]] = None
    labels.at[unnamed, "top_images"] = []
    write_table(layout.labels("a"), labels)
    best, part = int(component[10, 0]), int(component[10, 2])
    findings = pd.DataFrame({"finding_id": [f"n02-{best}"], "class": ["n02"], "component": [best]})
    findings["mode"], findings["confirmed"], findings["stability"] = "polysemy", True, None
    stability = pd.DataFrame({"component": numbers[::-1], "stability": float("nan")})
    write_table(layout.audit("a", "stability") / "components.parquet", stability)
    folder = layout.audit("a", "review")
    write_table(folder / "findings.csv", findings)
    write_json(folder / "evidence.json", {f"n02-{best}": {"components": [best, part]}})


def explained(capsys, *arguments: str) -> dict:
    """The JSON that the command prints."""
    command.main(["--audit", "a", "--json", *arguments])
    return json.loads(capsys.readouterr().out)
