"""A model and its tokenizer, built of a source: nothing that was fetched is run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import open_clip
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from pipeline.artifacts.store import write_json
from pipeline.config import ConfigError
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
    try:
        with TemporaryDirectory() as temporary, _quiet():
            write_json(Path(temporary) / CONFIG, source.config)
            model = open_clip.create_model(f"local-dir:{temporary}", load_weights=False)
    except LOADING_ERRORS as error:
        raise ConfigError(
            f"open_clip cannot build the model for {where}: {reason(error)}"
        ) from error
    try:
        found = find(model, read(source.weights), where)
    except ConfigError as error:
        assumed = f". Of its source is known: {'; '.join(source.notes)}" if source.notes else ""
        raise ConfigError(f"{error}{assumed}") from error
    model.load_state_dict(found.tensors)
    check_weights(model, {}, where)
    return Built(model, [*source.notes, *found.notes])


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
        return open_clip.get_tokenizer(source.tokenizer, context_length=length)
    except LOADING_ERRORS as error:
        raise ConfigError(
            f"the tokenizer of {source.tokenizer} does not load: {reason(error)}"
        ) from error
