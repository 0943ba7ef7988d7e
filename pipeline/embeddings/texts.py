"""Prompts of a dataset's classes and terms of its vocabulary."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.attribution.head import unit
from pipeline.tables import read_rows
from pipeline.text_files import TextError, folded, near, read_lines

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
    prompts: list[list[str]], embed: Callable[[list[str]], Tensor]
) -> Float[Tensor, "c p"]:
    """Text embedding t of each class: the mean of its prompts' unit embeddings, made unit again."""
    flat = embed([prompt for group in prompts for prompt in group])
    means = [part.mean(dim=0) for part in flat.split([len(group) for group in prompts])]
    return unit(torch.stack(means))


KINDS = ("object", "lesion", "background", "context", "writing")
"""What a term can be evidence of: `object` a thing, `lesion` what an expert accepts; `background`,
`context` and `writing` what has nothing to do with the class."""
TABLES = (".csv", ".tsv")


class Term(NamedTuple):
    """A term that a component can be named by."""

    term: str
    kind: str | None
    """One of KINDS; None where unsaid."""


def read_vocabulary(path: Path) -> list[Term]:
    """Terms of a text file (one a line) or of a table with the columns term and kind.

    A kind counts whatever its case, and may be blank. Terms that differ by case only are two terms.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no term, holds one twice or a comment, or two spellings of one
            have different kinds; the table has another kind, or is none (see `pipeline.tables`).
    """
    if not path.exists():
        raise FileNotFoundError(f"vocabulary {path} does not exist: see datasets in params.yaml")
    terms: list[Term] = []
    lines: dict[str, int] = {}
    kinds: dict[str, tuple[int, str | None]] = {}
    for line, term in _terms(path):
        where = f"{path}, line {line}"
        if term.term.startswith("#"):
            raise TextError(
                f"{where}: {term.term!r} looks like a comment, and a vocabulary has none: remove it"
            )
        first = lines.setdefault(term.term, line)
        if first != line:
            raise TextError(f"{where}: {term.term!r} is in line {first} already: keep one")
        # text encoders do not see case, so that which of two kinds is taken would be chance
        alike, kind = kinds.setdefault(folded(term.term), (line, term.kind))
        if kind != term.kind:
            raise TextError(
                f"{where}: {term.term!r} is of kind {term.kind or 'unsaid'}, and in line {alike}, "
                f"in another spelling, of kind {kind or 'unsaid'}: keep one, or one kind for both"
            )
        terms.append(term)
    if not terms:
        raise ValueError(f"vocabulary {path} holds no term: write one a line")
    return terms


def _terms(path: Path) -> Iterator[tuple[int, Term]]:
    """Line and term of each, in the file's order."""
    if path.suffix.lower() in TABLES:
        table = read_rows(path, ("term", "kind"), filled=("term",))
        for row in table.rows:
            yield row.line, Term(row.cells["term"], _kind(table.at(row.line), row.cells["kind"]))
        return
    for line, text in read_lines(path):
        if line == 1 and folded(text).replace(" ", "") in ("term,kind", "term;kind"):
            raise TextError(
                f"{path}, line 1: {text!r} is the header of a table, and the file is not called so:"
                " rename it to end in .csv"
            )
        yield line, Term(text, None)


def _kind(where: str, text: str) -> str | None:
    kind = folded(text)
    if kind and kind not in KINDS:
        meant = near(kind, KINDS)
        raise TextError(
            f"{where}: kind {text!r} is unknown{f'; is {meant} meant?' if meant else '.'} Allowed: "
            f"{', '.join(KINDS)}, or nothing; put a term that holds a comma in double quotes"
        )
    return kind or None
