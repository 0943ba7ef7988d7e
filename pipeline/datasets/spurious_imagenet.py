"""Spurious ImageNet: images of what networks mistake for a class, none of which shows the class.

Neuhaus et al. 2023, *Spurious Features Everywhere*, https://github.com/YanNeu/spurious_imagenet: a
folder of images for each of 100 spurious features, each named after its class's number and its
component.
"""

import re

from pipeline.datasets import Distractor, Excluded, Listing, Record
from pipeline.datasets.image_folder import image_id_of, namesakes_out, visible
from pipeline.datasets.imagenet_labels import wnid_of
from pipeline.datasets.names import NOTE, is_note
from pipeline.places import Place, is_folder

__all__ = ["listing"]

FOLDERS = (
    "spurious_imagenet/images",
    "spurious_imagenet/dataset/spurious_imagenet/images",
    "dataset/spurious_imagenet/images",
)


def listing(root: Place) -> Listing:
    """Its images as records of split test without a label, and what they are distractors of.

    Empty where root holds none of FOLDERS. The image_id is `spurious_imagenet/<folder>/<stem>`.
    Exclusions: files beside the folders, folders inside them, and a second file of one image_id.

    Raises:
        ValueError: a folder is not named `*_*_<number of the class>_*_<component>`, or root holds
            several copies.
    """
    bases = [base for base in FOLDERS if is_folder(root / base)]
    if len(bases) > 1:
        raise ValueError(f"{root} holds Spurious ImageNet twice, in {' and '.join(bases)}")
    found: list[Record] = []
    excluded: list[Excluded] = []
    wnid_by_set: dict[str, str] = {}
    for base in bases:
        for folder in visible(root / base):
            path = f"{base}/{folder.name}"
            if not folder.is_dir():
                reason = "not in a folder of its class and component"
                excluded.append(Excluded(path, reason, fault=not is_note(folder.name)))
                continue
            wnid_by_set[folder.name] = _wnid(folder.name, root / path)
            for entry in visible(root / path):
                inside = f"{path}/{entry.name}"
                if not entry.is_file():
                    excluded.append(Excluded(inside, "not a file"))
                    continue
                if is_note(entry.name):
                    excluded.append(Excluded(inside, NOTE, fault=False))
                    continue
                image_id = image_id_of(f"spurious_imagenet/{folder.name}/{entry.name}")
                found.append(Record(image_id, inside, "test", None, image_id))
    kept, namesakes = namesakes_out(found)
    sets = [record.path.split("/")[-2] for record in kept]
    distractors = [
        Distractor(record.image_id, wnid_by_set[name], name)
        for record, name in zip(kept, sets, strict=True)
    ]
    return Listing(kept, [], [*excluded, *namesakes], distractors)


def _wnid(name: str, path: Place) -> str:
    tokens = name.split("_")
    if len(tokens) < 4 or not all(re.fullmatch(r"\d+", tokens[i]) for i in (2, -1)):
        raise ValueError(
            f"{path}: expected a name such as class_idx_2_component_14, split at _ into at least "
            "four, the third the class's number and the last the component"
        )
    return wnid_of(int(tokens[2]), str(path))
