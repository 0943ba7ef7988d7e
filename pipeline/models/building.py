"""A model and its tokenizer, built of a source: nothing that was fetched is run."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from pipeline.artifacts.store import write_json
from pipeline.config import ConfigError
from pipeline.models.catalog import image_tower, named_tokenizer
from pipeline.models.folder import CONFIG, LOADING_ERRORS, check_weights, reason
from pipeline.models.hub import Source
from pipeline.models.tensors import read
from pipeline.models.weights import find


class Built(NamedTuple):
    """A model with its weights."""

    model: Any
    """One of open_clip's classes, on the CPU in float32."""
    notes: list[str]
    """What is not obvious about how it was made of its source."""


def build(source: Source) -> Built:
    """The model of a source, with weights read as data only.

    Raises:
        ConfigError: the weights are damaged, another model's, or hold what cannot be read as data.
    """
    where = str(source.weights)
    model = _without_weights(source.config, where, "cpu")
    try:
        found = find(model, read(source.weights), where)
    except ConfigError as error:
        assumed = f". Of its source is known: {'; '.join(source.notes)}" if source.notes else ""
        raise ConfigError(f"{error}{assumed}") from error
    model.load_state_dict(found.tensors)
    check_weights(model, {}, where)
    return Built(model, [*source.notes, *found.notes])


def check_auditable(config: Mapping[str, Any], where: str) -> None:
    """Make sure that a model can be audited, before its weights are here.

    Args:
        config: content of its `open_clip_config.json`.
        where: what has that configuration, for messages.

    Raises:
        ConfigError: it cannot be audited, see `image_tower`, or open_clip cannot build it.
    """
    # Tensors of the device meta have shapes and no numbers, so that even large models cost nothing.
    with torch.device("meta"):
        image_tower(_without_weights(config, where, "meta"))


def _without_weights(config: Mapping[str, Any], where: str, device: str) -> Any:
    try:
        with TemporaryDirectory() as temporary, _quiet():
            write_json(Path(temporary) / CONFIG, config)
            name = f"local-dir:{temporary}"
            return open_clip.create_model(name, load_weights=False, device=device)
    except LOADING_ERRORS as error:
        raise ConfigError(
            f"open_clip cannot build the model for {where}: {reason(error)}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's warning that a model has no weights yet."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def tokenizer_of(source: Source, model: Any) -> Any:
    """The tokenizer of a source, with the context length of its model.

    Raises:
        ConfigError: it cannot be loaded.
    """
    length = open_clip.get_model_tokenize_cfg(model)["context_length"]
    try:
        if source.tokenizer is None:
            return SimpleTokenizer(context_length=length)
        if isinstance(source.tokenizer, Path):
            return HFTokenizer(
                str(source.tokenizer), context_length=length, trust_remote_code=False
            )
        text = source.config["model_cfg"]["text_cfg"]
        return named_tokenizer(source.tokenizer, text, context_length=length)
    except LOADING_ERRORS as error:
        raise ConfigError(
            f"the tokenizer of {source.tokenizer} does not load: {reason(error)}"
        ) from error
