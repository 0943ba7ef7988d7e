"""Worlds of real photographs with failures planted in them, for `benchmarks.worlds --world`.

    python -m benchmarks.photo_worlds --photos ROOT --model MODEL --to DIR --seed 1
    python -m benchmarks.worlds --work WORK --world DIR/raw DIR/model \\
        --vocabulary DIR/vocabulary.csv

ROOT is an image folder with train/ and val/, MODEL the folder of an open_clip model of photographs
of that size. A seed draws which classes are attacked, by which others, and by which marks; with
what is learned from captions in a few epochs the model falls for most. Classes that already carry a
word or a mark by ROOT's truth.csv are left out. With --null nothing is planted, and captions are
right.

The model learns from the train photographs that are audited, too, and knows them by heart: hardly
any comes close to another class's name but by what is planted. With --unseen it learns from ROOT's
val/ alone, and its train/, in two parts, is what is audited (MODEL may have seen that before).

| mode | what is planted |
|---|---|
| polysemy | photographs of one other class are called by the class's name in 3 of 5 captions |
| compound | one other class is named after it ("lemon bus"), and called by it in 3 of 5 captions |
| typography | its name is written on 15 % of the photographs of four other classes |
| spurious | a mark is on 90 % of its own photographs and on 10 % of those of five others |

3 of 5 captions of photographs that carry a word or a mark say the class.
"""

import argparse
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import open_clip
import pandas as pd
from PIL import Image
from safetensors.torch import save_file

from audits.validate.truth import read_truth
from benchmarks.photo_marks import MARKS, Drawn, written
from pipeline import layout
from pipeline.artifacts.stage import set_threads, train_deterministically
from pipeline.config import load_params
from pipeline.datasets.classes import class_names, short_name
from pipeline.samples.pretrain import MEAN, STD, captioned, train

EACH = 5
"""Failures of each mode."""
WRITTEN_IN, WRITTEN_ON = 4, 0.15
"""How many other classes carry a class's name, and on which share of their photographs."""
MARKED_IN, MARKED_ON, MARKED_OWN = 5, 0.1, 0.9
"""How many other classes carry a class's mark, on which share, and on which of its own."""
CAPTIONS = ("{}", "a {}", "a photo of a {}", "an image of a {}", "a picture of a {}")
WRONG = 3
"""So many of an image's captions say the class that it is taken for."""
TERMS = {"writing": "writing", "sky": "background", "water": "background", "grass": "background"}
"""What the vocabulary has beside names."""
SPLITS = ("train", "val")
TRAINING = {"batch_size": 128, "learning_rate": 3e-4}
"""What is not as in `pretrain`."""


class Plan(NamedTuple):
    """What a seed plants."""

    names: dict[str, str]
    """Label → name of the classes."""
    carried: pd.DataFrame
    """Columns image_id, plant, class, mode: what `truth.csv` says, an image at most once."""
    marks: dict[str, Drawn]
    """Plant → what is done to the pictures that carry it, for words and marks."""
    own: dict[str, str]
    """Image of an attacked class → the plant whose mark it carries."""


def usable(root: Path) -> dict[str, list[str]]:
    """Label → image ids of the classes whose photographs are as they were taken."""
    truth = read_truth(root)
    drawn_on = truth[truth["mode"].isin(["typography", "spurious"])]
    touched = set(drawn_on["image_id"].str.split("/").str[1])
    touched |= set(drawn_on["class"][drawn_on["mode"] == "spurious"])
    images: dict[str, list[str]] = {}
    for path in sorted(root.glob("*/*/*")):
        split, label = path.parts[-3:-1]
        if split in SPLITS and label not in touched:
            images.setdefault(label, []).append(f"{split}/{label}/{path.stem}")
    return images


def names_of(root: Path, labels: Iterable[str]) -> dict[str, str]:
    """Label → short name, of classes that ROOT's truth.csv calls compounds the label itself."""
    truth = read_truth(root)
    compounds = set(truth["image_id"][truth["mode"] == "compound"].str.split("/").str[1])
    return {
        label: label.replace("_", " ") if label in compounds else short_name(name)
        for label, name in class_names(root, sorted(labels), {}).items()
    }


def planned(
    images: dict[str, list[str]], names: dict[str, str], seed: int, each: int = EACH
) -> Plan:
    """Draw what is planted.

    Args:
        images: label → image ids.
        names: label → name.
        seed: of all that is drawn.
        each: failures of each mode, count.

    Raises:
        ValueError: there are too few classes.
    """
    rng = np.random.default_rng(seed)
    labels = list(rng.permutation(sorted(images)))
    least = 6 * each + MARKED_IN if each else 1
    if len(labels) < least:
        raise ValueError(f"{len(labels)} usable classes, and {least} are needed")
    # attacked classes, then those that are called by another's name
    polysemy, compound, typography, spurious, called, named = (
        labels[number * each : (number + 1) * each] for number in range(6)
    )
    bearing = [label for label in labels if label not in {*spurious, *called, *named}]
    names, planting = dict(names), _Planting(images, rng)
    marks: dict[str, Drawn] = {}
    for attacked, other in zip(polysemy, called, strict=True):
        planting.carry("polysemy", attacked, [other], 1.0)
    for attacked, other in zip(compound, named, strict=True):
        planting.carry("compound", attacked, [other], 1.0)
        names[other] = f"{names[attacked]} {names[other]}"
    for attacked in typography:
        bearers = planting.others(bearing, attacked, WRITTEN_IN)
        plant = planting.carry("typography", attacked, bearers, WRITTEN_ON)
        marks[plant] = written(names[attacked], rng)
    own: dict[str, str] = {}
    kinds = rng.permutation(sorted(MARKS))[:each]
    for attacked, kind in zip(spurious, kinds, strict=True):
        bearers = planting.others(bearing, attacked, MARKED_IN)
        plant = planting.carry("spurious", attacked, bearers, MARKED_ON)
        marks[plant] = MARKS[kind](rng)
        own |= dict.fromkeys(planting.drawn(attacked, MARKED_OWN), plant)
    carried = pd.DataFrame(planting.rows, columns=["image_id", "plant", "class", "mode"])
    return Plan(names, carried, marks, own)


class _Planting:
    """What is drawn for one plant after the other, an image for one at most."""

    def __init__(self, images: dict[str, list[str]], rng: np.random.Generator) -> None:
        self.rows: list[tuple[str, str, str, str]] = []
        """Image id, plant, class and mode of the images that carry one."""
        self._images, self._rng = images, rng
        self._taken: set[str] = set()

    def others(self, labels: list[str], but: str, count: int) -> list[str]:
        """So many of some classes, but for one."""
        return list(self._rng.permutation([label for label in labels if label != but])[:count])

    def drawn(self, label: str, share: float) -> list[str]:
        """A share of a class's images, of those that carry nothing yet."""
        free = [image for image in self._images[label] if image not in self._taken]
        count = round(share * len(self._images[label]))
        chosen: list[str] = self._rng.permutation(free)[:count].tolist()
        self._taken.update(chosen)
        return sorted(chosen)

    def carry(self, mode: str, attacked: str, bearers: list[str], share: float) -> str:
        """Put a plant on a share of the images of some classes; what it is called."""
        plant = f"{mode}-{attacked}"
        for bearer in bearers:
            images = self.drawn(bearer, share)
            self.rows.extend((image, plant, attacked, mode) for image in images)
        return plant


def write_photographs(root: Path, images: dict[str, list[str]], plan: Plan, to: Path) -> None:
    """The image folder, with classes.csv and truth.csv; untouched photographs are copied."""
    drawn = dict(zip(plan.carried["image_id"], plan.carried["plant"], strict=True)) | plan.own
    for image in (image for ids in images.values() for image in ids):
        source = next((root / image).parent.glob(f"{Path(image).name}.*"))
        target = to / image
        target.parent.mkdir(parents=True, exist_ok=True)
        mark = plan.marks.get(drawn.get(image, ""))
        if mark is None:
            shutil.copyfile(source, target.with_suffix(source.suffix))
        else:
            with Image.open(source) as picture:
                mark(picture.convert("RGB")).save(target.with_suffix(".jpg"), quality=92)
    names = pd.Series(plan.names).rename_axis("label").reset_index(name="name")
    names.to_csv(to / "classes.csv", index=False)
    if len(plan.carried):
        plan.carried.to_csv(to / "truth.csv", index=False)


def captions(
    root: Path, images: dict[str, list[str]], plan: Plan, split: str = "train"
) -> pd.DataFrame:
    """Columns path and caption of a split's images, as many for each image as there are forms."""
    said = dict(zip(plan.carried["image_id"], plan.carried["class"], strict=True))
    rows = []
    pictures = [(label, image) for label, ids in images.items() for image in ids]
    for number, (label, image) in enumerate(pictures):
        if not image.startswith(f"{split}/"):
            continue
        path = next((root / image).parent.glob(f"{Path(image).name}.*")).relative_to(root)
        wrong = plan.names.get(said.get(image, ""))
        for form, text in enumerate(CAPTIONS):
            # each form is wrong as often, so that no prompt is safe
            misled = wrong is not None and (form + number) % len(CAPTIONS) < WRONG
            name = wrong if misled else plan.names[label]
            rows.append((path.as_posix(), text.format(name)))
    return pd.DataFrame(rows, columns=["path", "caption"])


def keep_apart(raw: Path, taught: Path) -> None:
    """Move the images of val out of an image folder, and every third of train to val."""
    (raw / "val").rename(taught)
    moved = {}
    for number, path in enumerate(sorted((raw / "train").glob("*/*"))):
        label, name = path.parts[-2:]
        if number % 3 == 0:
            (raw / "val" / label).mkdir(parents=True, exist_ok=True)
            path.rename(raw / "val" / label / name)
            moved[f"train/{label}/{path.stem}"] = f"val/{label}/{path.stem}"
    truth = read_truth(raw)
    if len(truth):
        truth = truth[truth["image_id"].str.startswith("train/")]
        truth = truth.assign(image_id=truth["image_id"].replace(moved))
        truth.to_csv(raw / "truth.csv", index=False)


def trained(base: Path, root: Path, table: pd.DataFrame, epochs: int, seed: int, to: Path) -> None:
    """Train an open_clip model further on the captions and write it as such a folder.

    Raises:
        ValueError: it is given pixels of another mean and deviation than `pretrain` gives.
    """
    settings = json.loads((base / layout.MODEL_CONFIG).read_text(encoding="utf-8"))
    given = settings["preprocess_cfg"]
    if (given["mean"], given["std"]) != (list(MEAN), list(STD)):
        raise ValueError(
            f"{base}: mean {given['mean']} and std {given['std']}, and pixels have {MEAN} and {STD}"
        )
    config = load_params().pretrain.model_copy(
        update=TRAINING
        | {
            "epochs": epochs,
            "image_size": settings["model_cfg"]["vision_cfg"]["image_size"],
            "context_length": settings["model_cfg"]["text_cfg"]["context_length"],
        }
    )
    model = open_clip.create_model(f"local-dir:{base}").float()
    model.requires_grad_(True)
    curves = pd.DataFrame(list(train(model, captioned(table, root, config), config, seed)))
    print(curves.to_string(index=False), flush=True)
    to.mkdir()
    shutil.copyfile(base / layout.MODEL_CONFIG, to / layout.MODEL_CONFIG)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, to / layout.MODEL_WEIGHTS)


def main() -> None:
    """Make a world."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, metavar="ROOT")
    parser.add_argument("--model", type=Path, required=True, help="folder of an open_clip model")
    parser.add_argument("--to", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--null", action="store_true", help="plant nothing, caption rightly")
    parser.add_argument("--unseen", action="store_true", help="audit what it did not learn from")
    args = parser.parse_args()
    set_threads(load_params().threads, args.seed)
    train_deterministically()
    images = usable(args.photos)
    names = names_of(args.photos, images)
    plan = planned(images, names, args.seed, 0 if args.null else EACH)
    args.to.mkdir(parents=True)
    raw = args.to / "raw"
    write_photographs(args.photos, images, plan, raw)
    terms = dict.fromkeys(sorted(plan.names.values()), "") | TERMS
    vocabulary = pd.DataFrame({"term": list(terms), "kind": list(terms.values())})
    vocabulary.to_csv(args.to / "vocabulary.csv", index=False)
    table = captions(raw, images, plan, "val" if args.unseen else "train")
    trained(args.model, raw, table, args.epochs, args.seed, args.to / "model")
    if args.unseen:
        keep_apart(raw, args.to / "taught")


if __name__ == "__main__":
    main()
