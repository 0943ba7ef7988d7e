"""How pages are made of templates."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from audits.report import wording

TEMPLATES = Path(__file__).parent / "templates"
"""Of reports; other pages share their look."""


def environment(*folders: Path, html: bool = True) -> Environment:
    """Templates of some folders and of reports, with the filters that all pages use.

    A name that is not defined is an error; html: whether texts are escaped.
    """
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "percent": wording.percent,
        "signed": wording.signed,
        "decimal": wording.decimal,
        "svg": Markup,
    }
    return made
