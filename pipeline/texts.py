"""Prompts of a dataset's classes and terms of its vocabulary."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.attribution import unit

FORMS = ("short", "templates", "extended", "both")
"""Prompt forms of the paper: the text before the name's first comma, templates around it, the
class's description, templates around the description."""


def prompts_of(name: str, description: str, form: str, templates: list[str]) -> list[str]:
    """The prompts of a class in one form, from its full name and its description."""
    text = description if form in ("extended", "both") else name.split(",")[0].strip()
    if form in ("templates", "both"):
        return [template.format(text) for template in templates]
    return [text]


def class_texts(
    names: list[str],
    descriptions: list[str],
    form: str,
    templates: list[str],
    embed: Callable[[list[str]], Tensor],
) -> Float[Tensor, "c p"]:
    """Text embedding t of each class: the mean of its prompts' unit embeddings, made unit again."""
    prompts = [
        prompts_of(name, description, form, templates)
        for name, description in zip(names, descriptions, strict=True)
    ]
    flat = embed([prompt for group in prompts for prompt in group])
    means = [part.mean(dim=0) for part in flat.split([len(group) for group in prompts])]
    return unit(torch.stack(means))


class Term(NamedTuple):
    """A term that a component can be named by."""

    term: str
    kind: str | None
    """What it is evidence of, None where unsaid: `lesion` what an expert accepts; `context`,
    `background` and `writing` what has nothing to do with the class."""


def read_vocabulary(path: Path) -> list[Term]:
    """Terms of a text file (one a line) or of a CSV with the columns term and kind.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no term, holds one twice, or the CSV lacks a column or a term.
    """
    if not path.exists():
        raise FileNotFoundError(f"vocabulary {path} does not exist: see datasets in params.yaml")
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            reader = csv.DictReader(file)
            missing = {"term", "kind"} - set(reader.fieldnames or [])
            if missing:
                raise ValueError(f"vocabulary {path} lacks the columns {sorted(missing)}")
            terms = [
                Term(row["term"].strip(), (row["kind"] or "").strip() or None) for row in reader
            ]
            if any(not term.term for term in terms):
                raise ValueError(f"vocabulary {path} has a row whose term is empty: remove it")
        else:
            terms = [Term(line.strip(), None) for line in file if line.strip()]
    if not terms:
        raise ValueError(f"vocabulary {path} holds no term")
    term, count = Counter(term.term for term in terms).most_common(1)[0]
    if count > 1:
        raise ValueError(f"vocabulary {path} holds {term!r} {count} times: keep one")
    return terms
