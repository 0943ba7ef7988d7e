"""Which map of a component shows best where in an image it fires: the deletion test.

    python -m benchmarks.maps --audits scenes-tiny lesions-tiny [--count 240]
    python -m benchmarks.maps --root PHOTOS --model FOLDER [--components 128]
    python -m benchmarks.maps --picture docs/maps.png

For audits that `dvc repro` has made, or for an open_clip folder and a folder of images, on which an
SAE is trained first. Of each component the images on which it fires most are mapped in several
ways; the patches of the brightest tenth of a map are covered with the image's mean colour, and the
table says what that takes of the component's activation, as a fraction, on average. A map that
shows nothing takes as much as a random one. The picture is of ten maps of the samples' reports.
"""

import argparse
import hashlib
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import Tensor

from audits.maps.deletion import activation, brightest, cover
from audits.maps.parts import component_parts, mapped_tower
from audits.maps.veil import DARKEST
from pipeline import layout
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import read_json, read_table
from pipeline.config import load_params
from pipeline.datasets.pixels import SHOWN, decode, reading_of
from pipeline.embeddings.forward import split_preprocess
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.models.catalog import Clip, class_tokens, load_clip
from pipeline.sae import files, training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.model import Sae

SUFFIXES = (".jpg", ".jpeg", ".png")
STEPS = 8
"""Of integrated gradients."""
BATCH = 64


def last_attention(model: Any, pixels: Tensor, w: Tensor, through_mlp: bool) -> Tensor:
    """Share of each patch's token in the last block's attention, and on through its MLP.

    The weights of the attention are held; the MLP is taken by its gradient at the image.
    """
    tower = mapped_tower(model)
    block = tower.transformer.resblocks[-1]
    inputs: list[Tensor] = []
    hook = block.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    tower(pixels)
    hook.remove()
    attention, tokens = block.attn, inputs[0]
    mixed = torch.nn.functional.linear(
        block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias
    )
    q, k, v = mixed.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (q[:, :, :1] @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    # [n, tokens, d]: what each token brings to the class token.
    brought = (weights.transpose(-1, -2) * v).transpose(1, 2).flatten(
        2
    ) @ attention.out_proj.weight.T
    brought = block.ls_1(brought)
    direction = w
    if through_mlp:
        middle = tokens[:, 0] + brought.sum(dim=1) + block.ls_1(attention.out_proj.bias)
        with torch.enable_grad():
            middle.requires_grad_()
            after = (block.ls_2(block.mlp(block.ln_2(middle))) * w).sum()
            (gradient,) = torch.autograd.grad(after, middle)
        direction = w + gradient
    shares = (brought[:, 1:] * direction[:, None]).sum(dim=-1)
    return shares.unflatten(1, tower.grid_size)


def gradient_input(model: Any, pixels: Tensor, w: Tensor, steps: int | None) -> Tensor:
    """Gradient × (pixels − mean colour) by patch, or integrated over steps from the mean colour."""
    tower = mapped_tower(model)
    base = pixels.mean(dim=(2, 3), keepdim=True)
    total = torch.zeros_like(pixels)
    for step in range(steps or 1):
        at = 1.0 if steps is None else (step + 0.5) / steps
        with torch.enable_grad():
            point = (base + at * (pixels - base)).requires_grad_()
            tokens: list[Tensor] = []
            hook = tower.ln_post.register_forward_pre_hook(lambda _, x: tokens.append(x[0]))  # noqa: B023
            tower(point)
            hook.remove()
            (gradient,) = torch.autograd.grad((tokens[0][:, 0] * w).sum(), point)
        total += gradient / (steps or 1)
    by_pixel = (total * (pixels - base)).sum(dim=1, keepdim=True)
    return torch.nn.functional.avg_pool2d(by_pixel, tower.patch_size)[:, 0]


def occlusion(model: Any, pixels: Tensor, w: Tensor) -> Tensor:
    """What covering each patch alone takes off; a pass for each."""
    rows, columns = mapped_tower(model).grid_size
    whole = (class_tokens(model, pixels) * w).sum(dim=-1)
    found = torch.zeros(len(pixels), rows, columns)
    for place in range(rows * columns):
        one = torch.zeros(len(pixels), rows * columns, dtype=torch.bool)
        one[:, place] = True
        x = class_tokens(model, cover(pixels, one.view(-1, rows, columns)))
        found[:, place // columns, place % columns] = whole - (x * w).sum(dim=-1)
    return found


def kinds(model: Any, sae: Sae) -> dict[str, Callable[[Tensor, list[int]], Tensor]]:
    """Name of each kind of map, and (pixels, components) to the map."""
    generator = torch.Generator().manual_seed(0)
    w = sae.encoder_weight

    def random(pixels: Tensor, _: list[int]) -> Tensor:
        grid = mapped_tower(model).grid_size
        return torch.rand(len(pixels), *grid, generator=generator)

    return {
        "parts of the linear tower": lambda x, j: component_parts(model, x, sae, j).patches,
        "last attention": lambda x, j: last_attention(model, x, w[j], False),
        "last attention, through the MLP": lambda x, j: last_attention(model, x, w[j], True),
        "gradient × input": lambda x, j: gradient_input(model, x, w[j], None),
        f"integrated gradients, {STEPS} steps": lambda x, j: gradient_input(model, x, w[j], STEPS),
        "occlusion": lambda x, j: occlusion(model, x, w[j]),
        "random": random,
    }


@torch.inference_mode()
def table(clip: Clip, sae: Sae, pixels: Tensor, components: list[int]) -> pd.DataFrame:
    """A row for each kind of map: mean drop, its standard error, and milliseconds an image."""
    rows: list[dict[str, Any]] = []
    # Copies, for what was made in inference mode has no gradient.
    before = activation(clip.model, pixels, sae, components)
    for name, draw in kinds(clip.model, sae).items():
        begun = time.perf_counter()
        with torch.inference_mode(False), torch.no_grad():
            maps = [
                draw(pixels[at : at + BATCH].clone(), components[at : at + BATCH])
                for at in range(0, len(pixels), BATCH)
            ]
        spent = time.perf_counter() - begun
        covered = cover(pixels, brightest(torch.cat(maps)))
        drop = (before - activation(clip.model, covered, sae, components)) / before
        row = {"map": name, "drop": float(drop.mean()), "sem": float(drop.std() / len(drop) ** 0.5)}
        rows.append(row | {"ms an image": 1000 * spent / len(pixels)})
    return pd.DataFrame(rows)


def of_audit(name: str, count: int) -> pd.DataFrame:
    """The table of an audit, for images on which its named components fire most."""
    params = load_params()
    audit = params.audit(name)
    clip, sae = load_clip(layout.model(audit.model)), files.load(layout.sae(name))
    manifest = layout.manifest(audit.dataset)
    reading = reading_of(read_json(manifest / "reading.json"))
    paths = read_table(manifest / "manifest.parquet", ["image_id", "path"])
    path_of = dict(zip(paths["image_id"], paths["path"], strict=True))
    labels = read_table(layout.labels(name)).dropna(subset="label")
    pairs = [(i, j) for i, j in labels[["top_images", "component"]].values for i in i[:5]]
    chosen = pairs[:: max(1, len(pairs) // count)][:count]
    root = params.dataset(audit.dataset).root
    pictures = [decode((root / path_of[i]).read_bytes(), reading).rgb for i, _ in chosen]
    pixels = torch.stack([clip.preprocess(picture) for picture in pictures])
    return table(clip, sae, pixels, [int(j) for _, j in chosen])


def of_folder(root: Path, model: Path, components: int, count: int) -> pd.DataFrame:
    """The table of an SAE trained on all images below a folder."""
    clip = load_clip(model)
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    # Mixed by name, so that every block holds images of all folders.
    paths.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
    pixels = torch.stack([clip.preprocess(decode(p.read_bytes(), SHOWN).rgb) for p in paths])
    x = torch.cat([class_tokens(clip.model, part) for part in pixels.split(BATCH)])
    ids = [str(path.relative_to(root)) for path in paths]
    config = (
        load_params()
        .audits["scenes-tiny"]
        .sae.model_copy(
            update={"components": components, "device": "cpu", "epochs": 60, "decay_after": [40]}
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        write_vectors(Path(folder), 0, [vector_table(ids, {"x": x.numpy()})])
        images = pd.DataFrame({"image_id": ids, "split": "train"})
        blocks = EmbeddingBlocks.open(Path(folder), images, "train", ("x",))
        sae, _ = training.train(blocks, config, 0, lambda _: {})
    codes = sae.encode(x)
    dense = torch.zeros(len(x), components).scatter_add_(1, codes.component, codes.activation)
    top = dense.topk(5, dim=0)
    pairs = [
        (int(row), j)
        for j in range(components)
        for row, value in zip(top.indices[:, j], top.values[:, j], strict=True)
        if value > 0
    ]
    chosen = pairs[:: max(1, len(pairs) // count)][:count]
    print(f"{len(x)} images, {components} components, {len(chosen)} maps")
    return table(clip, sae, pixels[[row for row, _ in chosen]], [j for _, j in chosen])


def draw(path: Path) -> None:
    """Ten maps: components of the first findings on scenes, and first candidates on lesions."""
    figure, axes = plt.subplots(2, 10, figsize=(12.5, 3.1), layout="constrained")
    column = 0
    for name, count in (("scenes-tiny", 7), ("lesions-tiny", 3)):
        audit, dataset = load_params().audit(name), load_params().audits[name].dataset
        findings = read_table(layout.audit(name, "review") / "findings.csv")
        ranked = read_table(layout.audit(name, "shortcut") / "components.csv")
        first = findings["component"] if name == "scenes-tiny" else ranked["component"]
        labels = read_table(layout.labels(name)).set_index("component")["label"]
        preprocess = split_preprocess(load_clip(layout.model(audit.model)))[0]
        manifest = layout.manifest(dataset)
        path_of = read_table(manifest / "manifest.parquet").set_index("image_id")["path"]
        reading = reading_of(read_json(manifest / "reading.json"))
        made = read_table(layout.audit(name, "maps") / "maps.parquet")
        made = made.drop_duplicates("component").set_index("component")
        for component in first.drop_duplicates()[:count]:
            row = made.loc[component]
            file = load_params().dataset(dataset).root / path_of[row["image_id"]]
            seen = preprocess(decode(file.read_bytes(), reading).rgb)
            adds = row["parts"].reshape(row["rows"], row["columns"]).clip(min=0)
            veil = DARKEST * (1 - adds / adds.max())
            extent = (0, seen.shape[1], seen.shape[0], 0)
            for axis in axes[:, column]:
                axis.imshow(seen, extent=extent)
                axis.set_axis_off()
            clear = {"vmin": 0, "vmax": 1, "interpolation": "nearest", "extent": extent}
            axes[1, column].imshow(veil * 0, cmap="gray", alpha=veil, **clear)
            name_of = textwrap.fill(labels[component], 14)
            axes[0, column].set_title(f"{component}\n{name_of}", fontsize=8)
            column += 1
    figure.savefig(path, dpi=96, metadata={"Software": None})


def main() -> None:
    """Print a table for each audit, or for the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audits", nargs="+", default=[])
    parser.add_argument("--root", type=Path, help="folder of images")
    parser.add_argument("--model", type=Path, help="open_clip folder")
    parser.add_argument("--components", type=int, default=128)
    parser.add_argument("--count", type=int, default=240, help="maps of each kind")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw ten maps")
    args = parser.parse_args()
    set_threads(load_params().threads, 0)
    for name in args.audits:
        print(name)
        print(of_audit(name, args.count).round(3).to_string(index=False), flush=True)
    if args.picture is not None:
        draw(args.picture)
    if args.root is not None:
        found = of_folder(args.root, args.model, args.components, args.count)
        print(found.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
