"""Where a model of params.yaml comes from: a tag, a hub repository, a checkpoint, another folder.

Repositories and folders may be open_clip's or transformers'. Nothing that is fetched is run:
weights are read as data only (`pipeline.models.tensors`), and a configuration that would make
open_clip run or load something else is refused (`pipeline.models.folder`).
"""

import difflib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from open_clip.tokenizer import SimpleTokenizer

from pipeline.artifacts.litter import is_litter
from pipeline.artifacts.store import read_json
from pipeline.config import HERE, ConfigError, ModelConfig
from pipeline.models import huggingface, vocabulary
from pipeline.models.folder import (
    CHECKPOINT,
    CONFIG,
    WEIGHTS,
    check_config,
    read_config,
)
from pipeline.models.places import Folder, Place, Repository, safe_first
from pipeline.models.tensors import SUFFIXES, files, of_adapters, refuse_foreign

RECORD = "source.json"
"""What a folder is of, and what is not obvious about how it was made of it."""
TOKENIZER = ("hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode")
"""Keys of text_cfg that choose the tokenizer."""
ADAPTERS = "adapter_config.json"
"""By which a folder of peft's is known."""


class Remote(NamedTuple):
    """Weights that need not be here yet."""

    place: Place
    names: tuple[str, ...]
    """The preferred one first."""


class Found(NamedTuple):
    """A model before its weights are fetched."""

    config: dict[str, Any]
    """Content of an `open_clip_config.json`: model_cfg and preprocess_cfg."""
    weights: Path | Remote
    tokenizer: str | Path | None
    """Name by which open_clip finds the tokenizer, folder of one that transformers reads, or None
    for CLIP's own."""
    notes: list[str]
    """What had to be assumed."""


class Source(NamedTuple):
    """A model before it is built; as `Found`, the weights being here."""

    config: dict[str, Any]
    weights: Path
    tokenizer: str | Path | None
    notes: list[str]


def resolve(key: str, config: ModelConfig) -> Source:
    """Find the configuration and the weights of a model, downloading what the cache has not.

    Raises:
        ConfigError: something is missing or contradicts itself, or the hub cannot be reached; the
            message says what to do.
    """
    found = find(key, config)
    path = found.weights
    if isinstance(path, Remote):
        place, path = path.place, path.place.get(*path.names)
        for file in files(path):
            place.get(file.name)
    return Source(found.config, path, found.tokenizer, found.notes)


def check(key: str, config: ModelConfig, *, ask_hub: bool = True) -> None:
    """Make sure that a model can be had, without downloading or loading its weights.

    Args:
        key: its name in params.yaml.
        config: its entry there.
        ask_hub: without, only what is known here is checked: names, tags and files.

    Raises:
        ConfigError: as `resolve`, or the first bytes of the weights say that they are none.
    """
    if ask_hub or not config.name.startswith("hf-hub:"):
        check_found(find(key, config), ask_hub=ask_hub)


def check_found(found: Found, *, ask_hub: bool = True) -> None:
    """Make sure that the weights of a model can be had, as `check`.

    Raises:
        ConfigError: as `check`.
    """
    if not isinstance(found.weights, Remote):
        for file in files(found.weights):
            refuse_foreign(file)
    elif ask_hub:
        found.weights.place.look(*found.weights.names)


def is_of_other(folder: Path, config: ModelConfig) -> bool:
    """Whether a folder says that it was fetched as the model of another entry of params.yaml."""
    path = folder / RECORD
    if not path.is_file():
        return False
    record = read_json(path)
    return any(record.get(key) != value for key, value in entry_of(config).items())


def entry_of(config: ModelConfig) -> dict[str, str | None]:
    """What a fetched folder records of its model's entry in params.yaml."""
    return {"name": config.name, "pretrained": config.pretrained}


def find(key: str, config: ModelConfig) -> Found:
    """Find the configuration of a model and where its weights are, downloading none of these.

    Raises:
        ConfigError: as `resolve`, but for the weights.
    """
    scheme, _, rest = config.name.partition(":")
    if scheme == "hf-hub" and rest:
        found = _of_place(key, config, Repository(key, rest))
    elif scheme == "local-dir" and rest:
        found = _of_place(key, config, _folder(key, config, Path(rest)))
    elif ":" in config.name:
        raise ConfigError(
            f"models.{key}.name is {config.name!r}: it must be open_clip's name of a model, "
            "hf-hub:<repository> or local-dir:<folder>"
        )
    else:
        found = _of_name(key, config)
    check_config(found.config, f"models.{key} ({config.name})")
    text = found.config["model_cfg"]["text_cfg"]
    if config.tokenizer is not None:
        settings = architecture(f"models.{key}.tokenizer", config.tokenizer)["text_cfg"]
        for setting in TOKENIZER:
            text.pop(setting, None)
        text |= {setting: settings[setting] for setting in TOKENIZER if setting in settings}
        found = found._replace(tokenizer=config.tokenizer)
    if text.get("hf_tokenizer_name"):
        _need_transformers(key)
    return found


def _of_name(key: str, config: ModelConfig) -> Found:
    """The model that open_clip has under a name, with the weights of a tag or of a file."""
    built = architecture(f"models.{key}.name", config.name)
    tags = open_clip.list_pretrained_tags_by_model(config.name)
    if config.pretrained is None:
        raise ConfigError(
            f"models.{key}.pretrained is null, so that {config.name} would have random weights: "
            f"name one of {tags}, or the file of a checkpoint"
        )
    tag = open_clip.get_pretrained_cfg(config.name, config.pretrained)
    if tag:
        _check_activation(key, config, built, tag)
        repository, filename = tag["hf_hub"].rsplit("/", 1)
        said = {k: tag[k] for k in ("mean", "std", "interpolation", "resize_mode")}
        stated = _preprocess(key, config, said, f"open_clip's tag {config.pretrained}")
        content = {"model_cfg": built, "preprocess_cfg": stated}
        names = safe_first(filename or CHECKPOINT)
        return Found(content, Remote(Repository(key, repository), names), config.name, [])
    weights = Path(config.pretrained)
    if not weights.is_file():
        raise ConfigError(
            f"models.{key}.pretrained is {config.pretrained!r}: it is neither a file nor one of "
            f"open_clip's tags of {config.name}, {tags}"
        )
    if weights.suffix not in SUFFIXES:
        raise ConfigError(f"{weights} is no checkpoint: its name must end in one of {SUFFIXES}")
    if config.preprocess is None:
        raise ConfigError(
            f"models.{key}.preprocess is null, and {weights} does not say how the model's images "
            "are preprocessed: give mean, std, interpolation and resize_mode as it was trained with"
        )
    stated = config.preprocess.model_dump(mode="json")
    content = {"model_cfg": built, "preprocess_cfg": stated}
    return Found(content, weights, config.name, [])


def _folder(key: str, config: ModelConfig, path: Path) -> Folder:
    if config.name == f"{HERE}/{key}":
        raise ConfigError(
            f"models.{key} lies in {config.name} already: there is nothing to fetch; take {key} "
            "out of outside.models"
        )
    if not path.is_dir():
        raise ConfigError(f"models.{key}.name is {config.name!r}: {path} is no folder")
    return Folder(key, path)


def _of_place(key: str, config: ModelConfig, place: Place) -> Found:
    """The model of a folder or of a repository, as open_clip or transformers has saved it."""
    path = place.find(CONFIG)
    if path is None and place.find(huggingface.CONFIG) is not None:
        return _of_transformers(key, config, place)
    if path is None and place.find(ADAPTERS) is not None:
        raise ConfigError(f"models.{key}: {place.name}: {of_adapters(ADAPTERS)}")
    path = path or place.get(CONFIG, huggingface.CONFIG)
    said = path if isinstance(place, Folder) else f"{place.name}'s {CONFIG}"
    content = _content(key, config, path, str(said))
    if isinstance(place, Folder):
        return Found(content, _weights_in(key, place.path), config.name, [])
    return Found(content, Remote(place, safe_first(CHECKPOINT)), config.name, [])


def _of_transformers(key: str, config: ModelConfig, place: Place) -> Found:
    """A model as transformers' `CLIPModel.save_pretrained` leaves it."""
    model = huggingface.model_config(
        place.get(huggingface.CONFIG), f"{place.name}/{huggingface.CONFIG}"
    )
    notes = [f"converted from transformers' CLIPModel of {place.name}", *model.notes]
    stated: dict[str, Any] = {}
    origin = f"{place.name}, without {' or '.join(huggingface.PREPROCESSORS)},"
    if path := place.find(*huggingface.PREPROCESSORS):
        origin = f"{place.name}/{path.name}"
        size = model.config["vision_cfg"]["image_size"]
        stated, more = huggingface.preprocessing(path, size, origin)
        notes += more
    content = {
        "model_cfg": model.config,
        "preprocess_cfg": _preprocess(key, config, stated, origin),
    }
    tokenizer = None
    if config.tokenizer is None:
        tokenizer = _tokenizer_in(key, place, model.config["text_cfg"], notes)
    names = huggingface.WEIGHTS
    weights = place.get(*names) if isinstance(place, Folder) else Remote(place, names)
    return Found(content, weights, tokenizer, notes)


def _tokenizer_in(key: str, place: Place, text: dict[str, Any], notes: list[str]) -> Path | None:
    """Folder of a place's own tokenizer; None, perhaps with a note, where it is CLIP's own."""
    own, size = vocabulary.is_clips_own(place), SimpleTokenizer().vocab_size
    if own is False:
        there = [path for name in vocabulary.FILES if (path := place.find(name))]
        text["hf_tokenizer_name"] = place.name
        return there[0].parent
    if text["vocab_size"] != size:
        has = "CLIP's own tokenizer" if own else "no tokenizer, where CLIP's own would be taken"
        raise ConfigError(
            f"models.{key}: {place.name} has {has}, of {size} tokens, but a text tower of "
            f"{text['vocab_size']}: put the tokenizer that it was trained with there, or name one "
            f"of open_clip's as models.{key}.tokenizer"
        )
    if own is None:
        notes.append(
            f"{place.name} has no tokenizer: CLIP's own is taken, which has as many tokens"
        )
    return None


def _weights_in(key: str, folder: Path) -> Path:
    """The one file of weights in an open_clip folder."""
    there = (path for path in sorted(folder.iterdir()) if not is_litter(path.name))
    found = [path for path in there if path.suffix in SUFFIXES]
    named = [path for path in found if path.name == WEIGHTS] or found
    if len(named) != 1:
        raise ConfigError(
            f"models.{key}: {folder} holds {[path.name for path in found] or 'no weights'}: it "
            f"must hold {WEIGHTS} or a single file that ends in one of {SUFFIXES}"
        )
    return named[0]


def _content(key: str, config: ModelConfig, path: Path, origin: str) -> dict[str, Any]:
    """An `open_clip_config.json`, its preprocessing completed by params.yaml's."""
    content = read_config(path)
    stated = content.get("preprocess_cfg", {})
    if isinstance(stated, dict):
        content["preprocess_cfg"] = _preprocess(key, config, stated, origin)
    return content


def _preprocess(
    key: str, config: ModelConfig, stated: Mapping[str, Any], origin: str
) -> dict[str, Any]:
    """What the source states, with what only params.yaml says beside it."""
    as_json = {k: list(v) if isinstance(v, tuple) else v for k, v in stated.items()}
    if config.preprocess is None:
        return as_json
    given = config.preprocess.model_dump(mode="json")
    for name, value in given.items():
        if as_json.get(name) not in (None, value):
            raise ConfigError(
                f"models.{key}.preprocess.{name} is {value}, but {origin} says {as_json[name]}: "
                "take preprocess out, or correct it"
            )
    return as_json | given


def architecture(where: str, name: str) -> dict[str, Any]:
    """open_clip's own configuration of a model."""
    architecture = open_clip.get_model_config(name) if ":" not in name else None
    if architecture is None:
        near = difflib.get_close_matches(name.replace("/", "-"), open_clip.list_models())
        raise ConfigError(
            f"{where} is {name!r}: open_clip has no such model"
            + (f"; near to it are {near}" if near else "")
        )
    return dict(architecture)


def _check_activation(
    key: str, config: ModelConfig, architecture: Mapping[str, Any], tag: Mapping[str, Any]
) -> None:
    """Refuse weights that were trained with another activation; open_clip only warns."""
    trained, built = (bool(cfg.get("quick_gelu", False)) for cfg in (tag, architecture))
    if trained != built:
        other = f"{config.name}-quickgelu"
        known = other in open_clip.list_models()
        raise ConfigError(
            f"models.{key}: the tag {config.pretrained} was trained with quick_gelu {trained}, but "
            f"{config.name} has quick_gelu {built}"
            + (f": set name to {other}" if known else "; open_clip has no model that fits")
        )


def _need_transformers(key: str) -> None:
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(
            f"models.{key} has a tokenizer of Hugging Face's: install it with "
            "`pip install transformers sentencepiece`"
        )
