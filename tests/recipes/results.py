"""What each recipe makes of inputs that are written here, so that nothing else has a say in it.

Pictures are uncompressed and weights are sines: neither an encoder nor a generator decides them.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import yaml
from open_clip import CLIP
from safetensors.torch import load_file, save_file

from pipeline import layout
from pipeline.artifacts.store import read_json, read_table, vector_column, write_json, write_table
from pipeline.config import COVERED, SURROUNDINGS
from pipeline.datasets import prepare
from pipeline.embeddings import embed, embed_concepts, perturb, plan_shifts
from pipeline.embeddings.vectors import read_embeddings, vector_table, write_vectors
from pipeline.sae import encode, files, stability, train_further, train_sae
from pipeline.sae.codes import read_codes
from pipeline.sae.model import Sae
from pipeline.samples import pretrain

ROOT = Path(__file__).parents[2]
AUDIT, ENTRY, DATASET = "lesions-tiny", "lesions-tiny", "lesions"
RAW = Path("data/raw") / DATASET
SIZE, WIDTH, IMAGES = 24, 12, 90
Result = dict[str, Any]


@contextmanager
def workspace(**settings: Any) -> Iterator[None]:
    """An empty repository with the shipped params, but for some settings."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw |= {"seed": 3, "threads": 1, "audits": {AUDIT: raw["audits"][AUDIT]}}
    raw["pretrain"] |= settings.pop("pretrain", {})
    raw["datasets"][DATASET] |= settings.pop("dataset", {})
    raw["embeddings"][ENTRY] |= settings.pop("embeddings", {})
    raw["audits"][AUDIT] |= settings
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with TemporaryDirectory() as folder, chdir(folder):
        Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic)


def run(main: Callable[[], None], *arguments: str) -> None:
    """Run a stage as the command line does."""
    kept, sys.argv = sys.argv, [main.__module__, *arguments]
    try:
        main()
    finally:
        sys.argv = kept


def sines(*shape: int, phase: float = 0.0) -> torch.Tensor:
    """Numbers in [-1, 1] without a pattern that these sizes would show, float32."""
    places = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return torch.sin(0.37 * places.square() + phase).view(*shape).float()


def picture(number: int) -> np.ndarray:
    """Pixels [SIZE, SIZE, 3] in [0, 1]: waves, of another direction for each number."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = [np.sin(7 * (x * np.cos(number + c) + y * np.sin(number * 2 + c))) for c in range(3)]
    return (np.stack(waves, axis=-1) + 1) / 2


def write_picture(path: Path, number: int, bits: int = 8) -> None:
    """Write a picture as PPM, or its red channel as PGM of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.round(picture(number) * (2**bits - 1))
    if bits == 8:
        head, body = f"P6 {SIZE} {SIZE} 255\n", values.astype(np.uint8)
    else:
        head, body = f"P5 {SIZE} {SIZE} {2**bits - 1}\n", values[..., 0].astype(">u2")
    path.write_bytes(head.encode() + body.tobytes())


def some(values: Any) -> list[float]:
    """Sixteen numbers of an array, evenly spread over it, and their mean."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    rows = np.linspace(0, len(flat) - 1, 16).round().astype(int)
    return [round(float(value), 6) for value in [*flat[rows], flat.mean()]]


def of_prepare() -> Result:
    """A manifest, with a duplicate across splits, a near one, a text and a picture of 16 bits."""
    config = {"kind": "image_folder", "root": "raw", "splits": None, "every": 1, "pixels": "shown"}
    config |= {"near_duplicates": 8, "max_excluded": 0.5}
    with workspace(dataset=config | {"root": str(RAW)}, shortcut=None):
        for number in range(8):
            split = "val" if number % 4 == 3 else "train"
            write_picture(RAW / split / ("cat", "dog")[number % 2] / f"{number}.ppm", number)
        write_picture(RAW / "train" / "dog" / "deep.pgm", 9, bits=16)
        write_picture(RAW / "val" / "cat" / "again.ppm", 0)
        nearly = bytearray((RAW / "train" / "dog" / "1.ppm").read_bytes())
        nearly[-1] ^= 1
        (RAW / "val" / "dog" / "nearly.ppm").write_bytes(nearly)
        (RAW / "train" / "cat" / "broken.ppm").write_bytes(b"P6 24 24 255\n")
        run(prepare.main, "--dataset", DATASET, "--workers", "1")
        folder = layout.manifest(DATASET)
        table = read_table(folder / "manifest.parquet")
        about = read_json(folder / "dataset.json")
        return {
            "images": table.drop(columns=["width", "height"]).to_csv(index=False).splitlines(),
            "widths": table["width"].tolist(),
            "heights": table["height"].tolist(),
            "duplicates": (folder / "duplicates.csv").read_text().splitlines(),
            **{key: about[key] for key in ("fingerprint", "pixels", "classes", "excluded")},
        }


def write_model(folder: Path, **vision: Any) -> None:
    """A CLIP of sines, as an open_clip folder, with changes to its image tower."""
    tower = {"width": 32, "layers": 1, "head_width": 16, **vision}
    config = {
        "embed_dim": 16,
        "vision_cfg": tower | {"image_size": SIZE, "patch_size": 8},
        "text_cfg": {"width": 16, "layers": 1, "heads": 2, "context_length": 8},
    }
    folder.mkdir(parents=True)
    tensors = {
        name: 0.2 * sines(*value.shape, phase=len(name)) + float("ln_" in name and "weight" in name)
        for name, value in CLIP(**config).state_dict().items()
        if value.ndim and value.is_floating_point()
    }
    tensors["logit_scale"] = torch.tensor(2.0)
    save_file(tensors, folder / "open_clip_model.safetensors")
    preprocess = {"size": SIZE, "mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "squash"}
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    write_json(folder / "open_clip_config.json", content)


def write_images() -> None:
    """Six pictures, one of 16 bits, and what a manifest says of them."""
    rows = []
    for number in range(6):
        path = RAW / f"{number}.{'pgm' if number == 5 else 'ppm'}"
        write_picture(path, number, bits=16 if number == 5 else 8)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        split, label = ("train", "val")[number % 2], "aabbba"[number]
        rows.append((str(number), path.name, digest, split, label))
    images = pd.DataFrame(rows, columns=["image_id", "path", "sha256", "split", "label"])
    folder = layout.manifest(DATASET)
    write_table(folder / "manifest.parquet", images)
    write_table(folder / "images.parquet", images.drop(columns=["split", "label"]))
    write_json(folder / "reading.json", {"pixels": {"as": "shown", "bits": 16}})


@contextmanager
def pictures() -> Iterator[None]:
    """Six pictures with a manifest, one of 16 bits, words, a model, and an audit of them."""
    embedding = {"batch_size": 3, "workers": 0, "shard_rows": 4, "dtype": "float32"}
    embedding |= {"spatial_tokens": 2, "device": "cpu", "precision": "float32"}
    shortcut = yaml.safe_load((ROOT / "params.yaml").read_text())["audits"][AUDIT]["shortcut"]
    kinds = ("red", "green", "blue", "brightness", "contrast")
    shortcut |= {"positive": ["a"], "acquisition": None, "shifts": {k: [-1, 2] for k in kinds}}
    shortcut["shifts"] |= {k: [1, 2] for k in ("blur", "jpeg", "patch")}
    words = {"vocabulary": "words.csv"}
    with workspace(dataset=words, embeddings=embedding, shortcut=shortcut):
        write_images()
        Path("words.csv").write_text("term,kind\ngrass,background\nred cat,object\n")
        write_model(layout.model("tiny"))
        run(embed.main, "--embeddings", ENTRY)
        yield


def of_embed() -> Result:
    """Class and spatial tokens of pictures, what a labeler sees, and words."""
    with pictures():
        run(embed_concepts.main, "--dataset", DATASET)
        concepts = layout.concepts_embeddings(DATASET)
        vocabulary = read_table(concepts / "vocabulary.parquet")
        return {
            "x": some(read_embeddings(layout.embeddings(ENTRY), "x").values),
            "spatial": some(read_embeddings(layout.embeddings(ENTRY), "spatial").values),
            "head": some(load_file(layout.head(ENTRY) / "head.safetensors")["w_proj"]),
            "z": some(read_embeddings(concepts, "z").values),
            "terms": vocabulary["term"].tolist(),
            "t": some(np.stack(vocabulary["t"].tolist())),
        }


def of_perturb() -> Result:
    """Class tokens of pictures under every shift, and what the shifts are."""
    with pictures():
        run(plan_shifts.main, "--audit", AUDIT)
        run(perturb.main, "--audit", AUDIT)
        folder = layout.perturbed(AUDIT)
        shifts = read_table(folder / "shifts.parquet")
        names = [*shifts["shift"], *shifts["alone"].dropna(), *COVERED]
        found = {name: some(read_embeddings(folder, name).values) for name in names}
        around = read_embeddings(folder, SURROUNDINGS).values
        return {
            "images": read_embeddings(folder, "statistics").image_ids.tolist(),
            "statistics": some(read_embeddings(folder, "statistics").values),
            SURROUNDINGS: some(np.nan_to_num(around, nan=-1)),
            "amount": some(shifts["amount"]),
            "beyond": some(shifts["beyond"].fillna(-1)),
            # JPEG is the library's own, and not the same bytes in every version of it.
            **{name: values for name, values in found.items() if not name.startswith("jpeg")},
        }


SAE = {
    "kind": "topk",
    "components": 24,
    "k": 3,
    "tokens": "class",
    "loss": "variance",
    "epochs": 4,
    "epoch_fraction": 1.0,
    "batch_size": 16,
    "learning_rate": 0.003,
    "warmup": 2,
    "decay_after": [3],
    "clip": 1.0,
    "centre": True,
    "atoms_init": "kmeans",
    "encoder_init": "transpose",
    "auxk": 0.1,
    "auxk_k": 4,
    "dead_after": 1,
    "revive_after": [2],
    "prefixes": [0.25, 0.5],
    "device": "cpu",
    "devices": 1,
}


def write_embeddings() -> None:
    """Embeddings of images with three sorts of tokens, and their manifest."""
    sort = torch.arange(IMAGES) % 3
    x = 3 * sines(3, WIDTH, phase=1)[sort] + sines(IMAGES, WIDTH, phase=2)
    ids = [f"i{row:03d}" for row in range(IMAGES)]
    table = vector_table(ids, {"x": x.numpy()})
    write_vectors(layout.embeddings(ENTRY), 0, [table])
    splits = ["val" if row % 5 == 4 else "train" for row in range(IMAGES)]
    manifest = pd.DataFrame({"image_id": ids, "split": splits, "group_id": ids})
    write_table(layout.manifest(DATASET) / "manifest.parquet", manifest)


def of_train_sae() -> Result:
    """Dictionaries of two seeds and their match."""
    with workspace(sae=SAE, stability={"seeds": 2, "cosine": 0.7}):
        write_embeddings()
        run(train_sae.main, "--audit", AUDIT)
        run(train_further.main, "--audit", AUDIT)
        run(stability.main, "--audit", AUDIT)
        sae = files.load(layout.sae(AUDIT))
        curves = read_table(layout.sae(AUDIT) / "curves.csv")
        stable = read_table(layout.audit(AUDIT, "stability") / "components.parquet")
        return {
            "atoms": some(sae.atoms),
            "encoder": some(sae.encoder_weight),
            "columns": list(curves.columns),
            "loss": some(curves["loss"]),
            "explained_variance": some(curves["explained_variance"]),
            "stability": some(stable["stability"].fillna(-1)),
        }


def of_encode() -> Result:
    """Codes of an SAE of sines, and its health."""
    with workspace(sae=SAE):
        write_embeddings()
        sae = Sae(SAE["components"], WIDTH, SAE["k"])
        atoms = torch.nn.functional.normalize(sines(SAE["components"], WIDTH, phase=3), dim=1)
        with torch.no_grad():
            sae.atoms.copy_(atoms)
            sae.encoder_weight.copy_(atoms)
            sae.encoder_bias.copy_(0.1 * sines(SAE["components"]))
        files.save(sae, layout.sae(AUDIT), {})
        tensors = {"gamma": 1 + 0.1 * sines(WIDTH), "beta": 0.1 * sines(WIDTH, phase=1)}
        layout.head(ENTRY).mkdir(parents=True)
        tensors["w_proj"] = sines(WIDTH, 8, phase=4)
        save_file(tensors, layout.head(ENTRY) / "head.safetensors")
        write_json(layout.head(ENTRY) / "model.json", {"eps": 1e-5})
        labels = ["a", "b", "c"]
        classes = [{"label": label, "name": label, "short": label} for label in labels]
        write_json(layout.manifest(DATASET) / "classes.json", classes)
        t = torch.nn.functional.normalize(sines(3, 8, phase=5), dim=1)
        columns = {"form": ["short"] * 3, "label": labels, "t": vector_column(t.numpy())}
        write_table(layout.texts(AUDIT), pa.table(columns))
        run(encode.main, "--audit", AUDIT)
        _, codes = read_codes(layout.codes(AUDIT), SAE["k"])
        metrics = read_json(layout.audit(AUDIT, "sae") / "metrics.json")["sae"]
        return {
            "component": codes.component[:12].flatten().tolist(),
            "activation": some(codes.activation[:]),
            "figures": sorted(metrics),
            "metrics": [round(metrics[name], 6) for name in sorted(metrics)],
        }


def of_pretrain() -> Result:
    """A CLIP after two epochs on eight pictures."""
    config = {"datasets": [DATASET], "image_size": SIZE, "patch_size": 8, "width": 64}
    config |= {"layers": 1, "text_layers": 1, "context_length": 8, "epochs": 2, "batch_size": 4}
    config |= {"learning_rate": 0.0005, "weight_decay": 0.1, "workers": 0}
    with workspace(pretrain=config):
        paths = [f"{number}.ppm" for number in range(8)]
        for number, path in enumerate(paths):
            write_picture(RAW / path, number)
        captions = [f"a {'red' if number % 2 else 'blue'} wave {number}" for number in range(8)]
        write_table(RAW / "captions.csv", pd.DataFrame({"path": paths, "caption": captions}))
        manifest = pd.DataFrame({"path": paths, "split": "train"})
        write_table(layout.manifest(DATASET) / "manifest.parquet", manifest)
        run(pretrain.main)
        folder = layout.model(layout.PRETRAINED)
        weights = load_file(folder / "open_clip_model.safetensors")
        return {
            "names": sorted(weights),
            "loss": some(read_table(folder / "curves.csv")["loss"]),
            "proj": some(weights["visual.proj"]),
            "text_projection": some(weights["text_projection"]),
        }


RECIPES: dict[str, Callable[[], Result]] = {
    "prepare": of_prepare,
    "pretrain": of_pretrain,
    "embed": of_embed,
    "perturb": of_perturb,
    "train_sae": of_train_sae,
    "encode": of_encode,
}
