"""ImageNet as files: torchvision's `train/<wnid>/`, `val/<wnid>/`, or as Kaggle packs it.

Kaggle's (https://www.kaggle.com/competitions/imagenet-object-localization-challenge) has the same
train folders under `ILSVRC/Data/CLS-LOC`, but all images of val in one folder, and their classes in
`LOC_val_solution.csv`.
"""

from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.absent import absent
from pipeline.datasets.image_folder import (
    image_id_of,
    merged,
    namesakes_out,
    split_listing,
    visible,
)
from pipeline.datasets.imagenet_labels import DEVKIT, WNID
from pipeline.datasets.names import NOTE, is_note
from pipeline.places import Place, is_file, is_folder
from pipeline.tables import read_rows
from pipeline.text_files import TextError, read_lines

__all__ = ["KAGGLE", "has_wnid_folders", "records", "train_classes"]

KAGGLE = "ILSVRC/Data/CLS-LOC"
SOLUTION = "LOC_val_solution.csv"
MAPPING = "LOC_synset_mapping.txt"
BOX = 5  # tokens of a box: wnid and four corners


def records(root: Place, base: str) -> Listing:
    """The images under `<root>/<base>`; the image_id is as in torchvision's layout for both.

    Exclusions beside those of an image folder: an image of a flat val without a row in Kaggle's
    table, and a row whose boxes are of several classes. Rows without an image are a note.

    Args:
        root: the dataset's folder, which holds Kaggle's tables where there are any.
        base: folder under root that holds train and val, with forward slashes; "" is root itself.

    Raises:
        FileNotFoundError: a split is missing, or a flat val without Kaggle's table.
        ValueError: a class folder is no wnid, or a table is not what Kaggle publishes.
    """
    parts = [split_listing(root, "train", "train", base)]
    if _is_flat(root / base / "val"):
        parts.append(_flat_val(root, base))
    else:
        parts.append(split_listing(root, "val", "val", base))
    listing = merged(parts)
    for label in listing.labels:
        if not WNID.fullmatch(label):
            raise ValueError(
                f"{root / base} has the class folder {label!r}: kind imagenet takes WordNet ids "
                "such as n01440764; other class folders are kind image_folder"
            )
    return listing


def has_wnid_folders(root: Place, base: str) -> bool:
    """Whether `<root>/<base>/train` holds a folder that is named by a wnid."""
    return bool(train_classes(root, base))


def train_classes(root: Place, base: str) -> list[str]:
    """The wnids that name folders in `<root>/<base>/train`, sorted; none without such a folder."""
    train = root / base / "train"
    entries = visible(train) if is_folder(train) else []
    return [entry.name for entry in entries if WNID.fullmatch(entry.name) and entry.is_dir()]


def _is_flat(folder: Place) -> bool:
    entries = visible(folder) if is_folder(folder) else []
    return bool(entries) and not any(entry.is_dir() for entry in entries)


def _flat_val(root: Place, base: str) -> Listing:
    folder = root / base / "val"
    table = root / SOLUTION
    if not is_file(table):
        raise FileNotFoundError(
            f"{folder} holds images and no class folders, and {table}, which would say their "
            f"classes, is missing. Put Kaggle's {SOLUTION} there, or move each image into "
            "val/<wnid>/ (torchvision.datasets.ImageNet does so where ILSVRC2012_img_val.tar and "
            f"ILSVRC2012_devkit_t12.tar.gz lie in one folder). Beware: {DEVKIT}"
        )
    prefix = f"{base}/val" if base else "val"
    answers = _read_solution(table)
    rows = len(answers)
    names = [entry.name for entry in visible(folder)]
    found: list[Record] = []
    excluded: list[Excluded] = []
    for name in names:
        image = image_id_of(name)
        classes = answers.pop(image, None)
        if is_note(name):
            excluded.append(Excluded(f"{prefix}/{name}", NOTE, fault=False))
        elif classes is None:
            excluded.append(Excluded(f"{prefix}/{name}", f"no row in {SOLUTION}"))
        elif len(classes) > 1:
            reason = f"boxes of several classes in {SOLUTION}: {', '.join(sorted(classes))}"
            excluded.append(Excluded(f"{prefix}/{name}", reason))
        else:
            [label] = classes
            image_id = f"val/{label}/{image}"
            found.append(Record(image_id, f"{prefix}/{name}", "val", label, image_id))
    kept, namesakes = namesakes_out(found)
    labels = {record.label for record in kept if record.label is not None}
    declared = sorted(labels | _read_mapping(root / MAPPING))
    notes = absent(SOLUTION, rows, sorted(answers), prefix)
    return Listing(kept, declared, [*excluded, *namesakes], notes=notes)


def _read_solution(path: Place) -> dict[str, set[str]]:
    """The classes of each image's boxes, by ImageId."""
    answers: dict[str, set[str]] = {}
    table = read_rows(path, ("ImageId", "PredictionString"), filled=("ImageId",))
    for image, row in table.by("ImageId").items():
        boxes = row.cells["PredictionString"]
        tokens = boxes.split()
        classes = set(tokens[::BOX])
        bad = sorted(name for name in classes if not WNID.fullmatch(name))
        if bad or not tokens or len(tokens) % BOX:
            raise TextError(
                f"{table.at(row.line)}: PredictionString is {boxes!r}, not boxes such as "
                "'n01751748 111 108 290 320'"
            )
        answers[image] = classes
    return answers


def _read_mapping(path: Place) -> set[str]:
    """The wnids of Kaggle's list of classes; none where there is no such file."""
    if not is_file(path):
        return set()
    wnids = set()
    for number, line in read_lines(path):
        wnid = line.partition(" ")[0]
        if not WNID.fullmatch(wnid):
            raise TextError(f"{path}, line {number}: {wnid!r} is no wnid such as n01440764")
        wnids.add(wnid)
    return wnids
