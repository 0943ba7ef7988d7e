"""Pages of components, opened in a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.audits.report.components.looking import WIDE, Open

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def opened(browser: "Browser") -> Iterator[Open]:
    """Open a file; what it says on the console fails the test at its end, and so does what it asks
    for beside itself and what is `also` allowed."""
    ended: list[Callable[[], None]] = []

    def make(path: Path, size: tuple[int, int] = WIDE, also: str = "none", **more: Any) -> "Page":
        viewport = {"width": size[0], "height": size[1]}
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **more)
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url.partition("#")[0]))

        def end() -> None:
            context.close()
            assert not said
            outside = {url for url in asked if not url.startswith(("data:", "blob:"))}
            own = path.parent.as_uri()
            assert all(url.startswith((own, also)) for url in outside), outside

        ended.append(end)
        page.goto(path.as_uri())
        return page

    yield make
    for end in ended:
        end()
