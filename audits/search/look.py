"""A search: what an audit has, a text or an image, and the components that answer to it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from audits.explain.sources import Audited, ask_prompts, present, read_audited, read_picture
from audits.report import wording
from audits.report.sections.names import worth
from audits.search.answers import Shown, before_top_k, ends, fit, shown_by
from pipeline import layout
from pipeline.attribution.relevance import logit_lens
from pipeline.config import Params
from pipeline.embeddings.vectors import read_embeddings
from pipeline.labels.label import read_vocabulary_embeddings
from pipeline.models.catalog import Clip, load_clip, text_embeddings
from pipeline.places import Place

IMAGES = 2
"""Paths of a component's top images that the table shows."""
SCORES = {
    "fit": """\
fit: cosine of the text with the component's top images as the labeler sees them, less that of
the empty text. lens: cosine of the text with the component's direction in the audited model.""",
    "activation": """\
activation: before the top k, below 0 where the image speaks against the component. active: whether
it is among the components of the image.""",
}
"""What is ranked by, and what the table says of it."""
COLUMNS = ("fit", "lens", "activation", "active")
"""Of an answer, where it has them."""
KNOWN = ("label", "kind", "alignment", "name_auroc", "name_fits", "clarity", "stability")
"""What an answer says of a component."""


@dataclass(frozen=True)
class Library:
    """An audit, ready to be searched."""

    audited: Audited
    labeler: Clip
    shown: Shown
    empty: Tensor
    """The labeler's unit embedding [p] of the empty text."""
    root: Place
    """Of the dataset's images."""


@dataclass(frozen=True)
class Answer:
    """A text or an image, and all components' answers."""

    asked: dict[str, str]
    """prompt or image."""
    ranked_by: str
    """A column of `table`, one of SCORES."""
    table: pd.DataFrame
    """Indexed by component: what is ranked by, and lens or active."""
    left_out: int
    """Components that nothing is known of."""
    seconds: float


def read_library(params: Params, name: str) -> Library:
    """Read what a search needs: the audit, its labeler, and the labeler's images.

    Raises:
        FileNotFoundError, ConfigError, ValueError: as `read_audited`, and where images that the
            labels name have no embedding.
    """
    audit = params.audit(name)
    audited = read_audited(params, name)
    labeler = params.dataset(audit.dataset).labeler
    folder = layout.concepts_embeddings(audit.dataset)
    embeddings = read_embeddings(folder, "z")
    return Library(
        audited=audited,
        labeler=audited.clip if labeler == audit.model else load_clip(layout.model(labeler)),
        shown=shown_by(
            audited.labels.sort_index()["top_images"],
            audit.label.top_images,
            embeddings.image_ids,
            embeddings.values,
        ),
        empty=read_vocabulary_embeddings(folder / "vocabulary.parquet").empty,
        root=params.dataset(audit.dataset).root,
    )


def look_for_text(library: Library, prompt: str) -> Answer:
    """What answers to a text.

    Raises:
        ValueError: it is empty or too long, see `ask_prompts`.
    """
    begun = time.perf_counter()
    audited = library.audited
    t = ask_prompts([prompt], audited.clip)[0].t
    own = text_embeddings(library.labeler, [prompt])[0]
    table = pd.DataFrame(
        {
            "fit": fit(library.shown, own, library.empty).numpy(),
            "lens": logit_lens(audited.sae.atoms, t[None], audited.head)[:, 0].numpy(),
        }
    )
    left_out = int((~library.shown.named).sum())
    return Answer({"prompt": prompt}, "fit", table, left_out, time.perf_counter() - begun)


def look_for_image(library: Library, path: Path) -> Answer:
    """What answers to an image.

    Raises:
        OSError, ValueError: as `read_picture`.
    """
    begun = time.perf_counter()
    audited = library.audited
    picture = read_picture(path, audited)
    codes = audited.sae.encode(picture.x[None])
    active = torch.zeros(len(audited.sae.atoms), dtype=torch.bool)
    active[codes.component[codes.activation > 0]] = True
    table = pd.DataFrame(
        {"activation": before_top_k(audited.sae, picture.x).numpy(), "active": active.numpy()}
    )
    asked = {"image": str(picture.path)}
    return Answer(asked, "activation", table, 0, time.perf_counter() - begun)


def record(library: Library, answer: Answer, top: int) -> dict[str, Any]:
    """The components that answer most and least, as JSON says them."""
    score = torch.tensor(answer.table[answer.ranked_by].tolist())
    most, least = ends(score, top)
    return {
        **answer.asked,
        "ranked_by": answer.ranked_by,
        "most": [_component(library, answer, component) for component in most],
        "least": [_component(library, answer, component) for component in least],
        "left_out": answer.left_out,
        "seconds": answer.seconds,
    }


def _component(library: Library, answer: Answer, component: int) -> dict[str, Any]:
    audited = library.audited
    known = audited.labels.loc[component]
    paths = audited.manifest.set_index("image_id")["path"]
    about = {key: known[key] for key in KNOWN}
    findings = [
        finding
        for finding, evidence in audited.evidence.items()
        if component in evidence["components"]
    ]
    return {
        "component": component,
        **{key: present(answer.table.at[component, key]) for key in answer.table.columns},
        **{key: present(value) for key, value in about.items()},
        "findings": findings,
        "top_images": [str(library.root / paths[image]) for image in known["top_images"]],
    }


def asked(answer: dict[str, Any]) -> str:
    """What was looked for."""
    return f"text “{answer['prompt']}”" if "prompt" in answer else f"image {answer['image']}"


def table(name: str, answers: Sequence[dict[str, Any]], components: int) -> str:
    """Records in columns, for the terminal."""
    lines = [f"audit {name}, {components:,} components"]
    for answer in answers:
        left_out = answer["left_out"]
        without = f"; {left_out:,} fire on too few train images to say" if left_out else ""
        rows = [
            {"": side if not at else "", **_row(component)}
            for side in ("most", "least")
            for at, component in enumerate(answer[side])
        ]
        lines += ["", f"{asked(answer)}, in {answer['seconds']:.2f} s{without}"]
        lines += [pd.DataFrame(rows).to_string(index=False)] if rows else ["  no component"]
    return "\n".join([*lines, "", SCORES[answers[0]["ranked_by"]]])


def _row(component: dict[str, Any]) -> dict[str, str]:
    scores: dict[str, str] = {
        key: ("yes" if component[key] else "no") if key == "active" else f"{component[key]:+.3f}"
        for key in COLUMNS
        if key in component
    }
    return {
        "component": str(component["component"]),
        **scores,
        "label": component["label"] or "(no label)",
        "name AUROC": worth(component),
        "clarity": wording.decimal(component["clarity"], 2),
        "stability": wording.decimal(component["stability"], 2),
        "finding": " ".join(component["findings"]) or "-",
        "fires most on": " ".join(component["top_images"][:IMAGES]) or "-",
    }
