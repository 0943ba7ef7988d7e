"""Answers of a search as one self-contained page of galleries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audits.report import wording
from audits.report.gallery import Gallery
from audits.report.sections.names import worth
from audits.report.templating import environment
from audits.search.look import COLUMNS, SCORES, Library, asked

TEMPLATES = Path(__file__).parent / "templates"


def page(
    audit: str, library: Library, answers: Sequence[dict[str, Any]], gallery: Gallery, images: int
) -> str:
    """The page.

    Args:
        audit: its name.
        library: that was searched.
        answers: records, see `audits.search.look.record`.
        gallery: pictures of the audit's dataset.
        images: pictures of each component.

    Raises:
        FileNotFoundError: an image of the dataset is not on the disk any more.
    """
    labels = library.audited.labels
    tops = dict(zip(labels.index, labels["top_images"], strict=True))

    def shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **row,
                "worth": worth(row),
                "images": gallery.images(list(tops[row["component"]]), images, row["component"]),
            }
            for row in rows
        ]

    return (
        environment(TEMPLATES)
        .get_template("search.html.j2")
        .render(
            title=f"What answers to {wording.listed([asked(answer) for answer in answers])}",
            audit=audit,
            components=len(library.audited.sae.atoms),
            columns=COLUMNS,
            said=SCORES[answers[0]["ranked_by"]],
            answers=[
                {
                    **answer,
                    "asked": asked(answer),
                    "most": shown(answer["most"]),
                    "least": shown(answer["least"]),
                }
                for answer in answers
            ],
        )
    )
