"""What is said of a difference, as tables that a terminal, Markdown and HTML show alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audits.report.templating import environment
from audits.report.wording import cell

__all__ = ["Section", "html", "markdown", "text"]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A title, sentences, and a table of texts."""

    title: str
    said: list[str] = field(default_factory=list)
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def text(title: str, sections: Sequence[Section]) -> str:
    """For a terminal: columns aligned by blanks."""
    lines = [title]
    for one in sections:
        lines += ["", one.title, *(f"  {line}" for line in one.said)]
        if one.rows:
            table = [one.header, *one.rows]
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            for row in table:
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def markdown(title: str, sections: Sequence[Section]) -> str:
    """For a pull request."""
    lines = [f"## {cell(title)}"]
    for one in sections:
        lines += ["", f"### {cell(one.title)}", *("\n" + cell(line) for line in one.said)]
        if one.rows:
            lines.append("")
            lines += [_row(row) for row in (one.header, ["---"] * len(one.header), *one.rows)]
    return "\n".join(lines)


def html(title: str, sections: Sequence[Section]) -> str:
    """A page of its own, in the look of reports."""
    template = environment(TEMPLATES).get_template("diff.html.j2")
    return template.render(title=title, sections=sections)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"
