"""The page to look through an audit's components, whole in one file but for further pictures."""

import base64
from collections.abc import Mapping
from functools import cache
from os.path import relpath
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup

from audits.report.components.contents import as_json, contents, details
from audits.report.sources import Sources
from audits.report.templating import environment
from pipeline import layout


def components_page(sources: Sources, called: Mapping[str, str]) -> str:
    """The HTML.

    Args:
        sources: of the report.
        called: label → name of the class.
    """
    pictures = layout.audit(sources.audit, "maps") / "pictures"
    # The folder is named by its place in the repository, as the page says it where it is not there.
    folder = relpath(pictures, layout.report(sources.audit)).replace("\\", "/")
    data = contents(sources, called, quote(folder))
    return (
        _environment()
        .get_template("components.html.j2")
        .render(
            audit=sources.audit,
            count=len(data["components"]),
            data=Markup(as_json(data)),
            details=Markup("\n".join(map(as_json, details(sources, called)))),
            sheets=[(_base64(one.pictures), _base64(one.veils or b"")) for one in sources.sheets],
            pictures=pictures.as_posix(),
            mapped=sum(bool(place) for places in sources.pictures["places"] for place in places),
        )
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


@cache
def _environment() -> Environment:
    return environment()
