"""Where a model of params.yaml comes from: a tag, a hub repository, a checkpoint, another folder.

Nothing that is fetched is run: weights are read as tensors only, and a configuration that would
make open_clip run or load something else is refused (`pipeline.models.folder`).
"""

import difflib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

import open_clip

from pipeline.config import HERE, ConfigError, ModelConfig
from pipeline.models.download import HubFile, safe_first
from pipeline.models.folder import (
    CHECKPOINT,
    CONFIG,
    LOADING_ERRORS,
    WEIGHTS,
    check_config,
    check_weights,
    read_config,
    reason,
)
from pipeline.store import is_litter, write_json

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
"""Of checkpoint files."""
TOKENIZER = ("hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode")
"""Keys of text_cfg that choose the tokenizer."""

Found: TypeAlias = tuple[dict[str, Any], Path | HubFile]
"""Content of an `open_clip_config.json`, and where the weights are."""


class Source(NamedTuple):
    """A model before it is built."""

    config: dict[str, Any]
    """Content of an `open_clip_config.json`: model_cfg and preprocess_cfg."""
    weights: Path
    tokenizer: str
    """Name by which open_clip finds the tokenizer."""


def resolve(key: str, config: ModelConfig) -> Source:
    """Find the configuration and the weights of a model, downloading what the cache has not.

    Raises:
        ConfigError: something is missing or contradicts itself, or the hub cannot be reached; the
            message says what to do.
    """
    content, weights = _find(key, config)
    path = weights.get() if isinstance(weights, HubFile) else weights
    return Source(content, path, config.tokenizer or config.name)


def check(key: str, config: ModelConfig) -> None:
    """Make sure that a model can be had, without downloading its weights.

    Raises:
        ConfigError: as `resolve`.
    """
    _, weights = _find(key, config)
    if isinstance(weights, HubFile):
        weights.look()


def _find(key: str, config: ModelConfig) -> Found:
    if config.name.startswith("hf-hub:"):
        content, weights = _of_repository(key, config)
    elif config.name.startswith("local-dir:"):
        content, weights = _of_folder(key, config)
    elif ":" in config.name:
        raise ConfigError(
            f"models.{key}.name is {config.name!r}: it must be open_clip's name of a model, "
            "hf-hub:<repository> or local-dir:<folder>"
        )
    else:
        content, weights = _of_name(key, config)
    check_config(content, f"models.{key} ({config.name})")
    text = content["model_cfg"]["text_cfg"]
    if config.tokenizer is not None:
        settings = _architecture(f"models.{key}.tokenizer", config.tokenizer)["text_cfg"]
        for setting in TOKENIZER:
            text.pop(setting, None)
        text |= {setting: settings[setting] for setting in TOKENIZER if setting in settings}
    if text.get("hf_tokenizer_name"):
        _need_transformers(key)
    return content, weights


def _of_name(key: str, config: ModelConfig) -> Found:
    """The model that open_clip has under a name, with the weights of a tag or of a file."""
    architecture = _architecture(f"models.{key}.name", config.name)
    tags = open_clip.list_pretrained_tags_by_model(config.name)
    if config.pretrained is None:
        raise ConfigError(
            f"models.{key}.pretrained is null, so that {config.name} would have random weights: "
            f"name one of {tags}, or the file of a checkpoint"
        )
    tag = open_clip.get_pretrained_cfg(config.name, config.pretrained)
    if tag:
        _check_activation(key, config, architecture, tag)
        repository, filename = tag["hf_hub"].rsplit("/", 1)
        said = {k: tag[k] for k in ("mean", "std", "interpolation", "resize_mode")}
        stated = _preprocess(key, config, said, f"open_clip's tag {config.pretrained}")
        content = {"model_cfg": architecture, "preprocess_cfg": stated}
        return content, HubFile(key, repository, safe_first(filename or CHECKPOINT))
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
    return {"model_cfg": architecture, "preprocess_cfg": stated}, weights


def _of_repository(key: str, config: ModelConfig) -> Found:
    repository = config.name.removeprefix("hf-hub:")
    path = HubFile(key, repository, [CONFIG]).get()
    content = _content(key, config, path, f"{repository}'s {CONFIG}")
    return content, HubFile(key, repository, safe_first(CHECKPOINT))


def _of_folder(key: str, config: ModelConfig) -> Found:
    if config.name == f"{HERE}/{key}":
        raise ConfigError(
            f"models.{key} lies in {config.name} already: there is nothing to fetch; take {key} "
            "out of outside.models"
        )
    folder = Path(config.name.removeprefix("local-dir:"))
    content = _content(key, config, folder / CONFIG, str(folder / CONFIG))
    found = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    found = [path for path in found if not is_litter(path)]
    named = [path for path in found if path.name == WEIGHTS] or found
    if len(named) != 1:
        raise ConfigError(
            f"models.{key}: {folder} holds {[path.name for path in found] or 'no weights'}: it "
            f"must hold {WEIGHTS} or a single file that ends in one of {SUFFIXES}"
        )
    return content, named[0]


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


def _architecture(where: str, name: str) -> dict[str, Any]:
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


def build(source: Source) -> Any:
    """The model of a source, on the CPU in float32, with weights read as tensors only.

    Raises:
        ConfigError: the weights are damaged, another model's, or hold more than tensors.
    """
    try:
        state = open_clip.factory.load_state_dict(str(source.weights), weights_only=True)
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        del state  # open_clip reads them again: twice the time, but not twice the memory
        with TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_json(folder / CONFIG, source.config)
            safe = source.weights.suffix == ".safetensors"
            (folder / (WEIGHTS if safe else CHECKPOINT)).symlink_to(source.weights.resolve())
            model = open_clip.create_model(
                f"local-dir:{folder}", weights_only=True, require_pretrained=True
            )
    except LOADING_ERRORS as error:
        raise ConfigError(
            f"{source.weights} does not load: {reason(error)}. Only tensors are read, and all that "
            "the model has must be there"
        ) from error
    check_weights(model, shapes, str(source.weights))
    return model


def tokenizer_of(source: Source, model: Any) -> Any:
    """The tokenizer of a source, with the context length of its model.

    Raises:
        ConfigError: it cannot be loaded.
    """
    length = open_clip.get_model_tokenize_cfg(model)["context_length"]
    try:
        return open_clip.get_tokenizer(source.tokenizer, context_length=length)
    except LOADING_ERRORS as error:
        raise ConfigError(
            f"the tokenizer of {source.tokenizer} does not load: {reason(error)}"
        ) from error
