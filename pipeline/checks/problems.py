"""What an audit needs and has not got, as far as it can be known before anything costly runs.

open_clip is imported where it is needed, for it takes seconds.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.config import Params
from pipeline.datasets import adapters
from pipeline.datasets.asked import unmet
from pipeline.datasets.classes import read_classes
from pipeline.datasets.descriptions import read_descriptions
from pipeline.datasets.manifest import check_excluded
from pipeline.datasets.names import check_utf8
from pipeline.faults import faults
from pipeline.places import exists, is_folder

__all__ = ["beside_dataset", "layout_at", "of_audit", "of_dataset", "of_model", "of_texts"]

FILES = (layout.MODEL_CONFIG, layout.MODEL_WEIGHTS)
NOUNS = "data.noun"


def of_audit(params: Params, name: str, *, ask_hub: bool = True) -> list[str]:
    """All that an audit lacks, a message each; none where it can be run.

    Args:
        params: params.yaml.
        name: the audit's.
        ask_hub: whether a hub is asked if it has the weights; up to 10 s where there is no network.

    Raises:
        ConfigError: params.yaml has no such audit.
    """
    dataset = params.audit(name).dataset
    found = [
        *of_dataset(params, dataset, ask_hub=ask_hub),
        *beside_dataset(params, name, ask_hub=ask_hub),
    ]
    return list(dict.fromkeys(found))


def of_dataset(params: Params, name: str, *, ask_hub: bool = True) -> list[str]:
    """What a dataset lacks, whatever is audited on it: images, texts, classes, a labeler."""
    return [
        *_of_images(params, name),
        *of_texts(params, name),
        *of_model(params, params.dataset(name).labeler, ask_hub=ask_hub),
    ]


def of_texts(params: Params, name: str) -> list[str]:
    """What is wrong with what a dataset is named with, and with what its audits call its classes.

    Classes are known where the images are there, from names and tables only.
    """
    # Imported late: torch takes seconds.
    from pipeline.embeddings.texts import read_vocabulary

    config, descriptions = params.dataset(name), layout.descriptions(name)
    found = faults(lambda: read_vocabulary(config.vocabulary))
    if descriptions.exists():
        found += faults(lambda: read_descriptions(descriptions))
    else:
        found.append(
            f"{descriptions} is missing, a table that may be empty: write a file of one line, "
            "label,description, as `audit add` does"
        )
    try:
        labels = adapters.LABELS_OF[config.kind](config.root, config)
    except (OSError, ValueError):
        # What is wrong with the images is said where they are looked at.
        return found
    return list(dict.fromkeys([*found, *unmet(params, name, labels, {})]))


def beside_dataset(params: Params, name: str, *, ask_hub: bool = True) -> list[str]:
    """What an audit lacks apart from what its dataset does."""
    audit = params.audit(name)
    return [
        *of_model(params, audit.model, audited_by=name, ask_hub=ask_hub),
        *_of_settings(params, name),
    ]


def of_model(
    params: Params, key: str, *, audited_by: str | None = None, ask_hub: bool = True
) -> list[str]:
    """Why a model is neither in data/models nor can be brought there, or cannot be audited.

    Args:
        params: params.yaml.
        key: the model's.
        audited_by: the audit that it is to be the model of; None for a labeler.
        ask_hub: as `of_audit`.
    """
    if key == layout.PRETRAINED:
        return []
    folder, config = layout.model(key), params.models[key]
    lacking = [name for name in FILES if not (folder / name).is_file()]
    outside = key in params.outside.models
    if lacking and not outside:
        return [
            f"{folder if len(lacking) == 2 else folder / lacking[0]} is missing: put "
            f"{' and '.join(lacking)} there, or say in models.{key}.name where to fetch them from"
        ]
    # Imported late: open_clip takes seconds.
    from pipeline.models import hub

    if not lacking and not (outside and hub.is_of_other(folder, config)):
        return _of_folder(folder, key, audited_by)
    if not ask_hub and config.name.startswith("hf-hub:"):
        return []
    try:
        found = hub.find(key, config)
    except (OSError, ValueError) as error:
        return [str(error)]
    return [
        *faults(lambda: hub.check_found(found, ask_hub=ask_hub)),
        *_of_tower(found.config, key, audited_by),
    ]


def _of_folder(folder: Path, key: str, audited_by: str | None) -> list[str]:
    """What is wrong with an open_clip folder of a model, as far as its configuration says it."""
    from pipeline.models.folder import check_config, read_config

    try:
        config = read_config(folder / layout.MODEL_CONFIG)
        check_config(config, str(folder / layout.MODEL_CONFIG))
    except (OSError, ValueError) as error:
        return [str(error)]
    return _of_tower(config, key, audited_by)


def _of_tower(config: dict[str, Any], key: str, audited_by: str | None) -> list[str]:
    """Why a model of this `open_clip_config.json` cannot be audited; a labeler may be any."""
    if audited_by is None:
        return []
    from pipeline.models.building import check_auditable

    said = faults(lambda: check_auditable(config, f"models.{key}"))
    return [
        f"audits.{audited_by}.model is {key!r}: {problem}; name another model there"
        for problem in said
    ]


def layout_at(params: Params, name: str) -> str:
    """Name of the layout, or of the releases, that a dataset has at its root.

    Raises:
        ValueError: there is no such folder, or it does not look like its kind; the message says
            how it should.
    """
    config = params.dataset(name)
    root = config.root
    where = f"datasets.{name}.root is {str(root)!r}"
    try:
        return adapters.layout(config)
    except ConnectionError as error:
        raise ValueError(f"{where}: {error}") from error
    except (OSError, ValueError) as error:
        if is_folder(root) and not isinstance(error, FileNotFoundError):
            raise ValueError(f"{where}: {error}") from error
        problem = f"does not look like kind {config.kind}" if is_folder(root) else "is no folder"
        raise ValueError(
            f"{where}, which {problem if exists(root) else 'does not exist'}: put the dataset "
            f"there, or name its place there in params.yaml. {error}"
        ) from error


def _of_images(params: Params, name: str) -> Iterator[str]:
    """Faults of a dataset's root; a sample's is rendered by the workflow."""
    if name not in params.outside.datasets:
        return
    config = params.dataset(name)
    missing = faults(lambda: layout_at(params, name))
    yield from missing
    yield from faults(lambda: check_utf8(config.root))
    if not missing or isinstance(config.root, Path):
        yield from faults(lambda: read_classes(config.root))
    if not missing and config.kind == "csv":
        yield from faults(lambda: _check_table(params, name))


def _check_table(params: Params, name: str) -> None:
    """Read a dataset's table of images through, which opens none of them.

    Raises:
        ValueError: a row is impossible, or too many name no file.
    """
    config = params.dataset(name)
    listing = adapters.listing(config, params.seed)
    listed = len(listing.records) + sum(item.fault for item in listing.excluded)
    check_excluded(listing.excluded, listed, config.max_excluded, config.root)


def _of_settings(params: Params, name: str) -> Iterator[str]:
    """Files that an audit needs under its name or names."""
    for path in (layout.reviews(name), layout.reviewed(name)):
        if not path.exists():
            yield (
                f"{path} is missing: `audit check {name}` writes the empty tables of a review that "
                "nobody has begun"
            )
    wordnet = params.audit(name).modes.wordnet
    if wordnet is not None and not (wordnet / NOUNS).is_file():
        yield f"audits.{name}.modes.wordnet is {str(wordnet)!r}, which holds no {NOUNS}"
