"""The page of 30,000 components in a browser: its size, its speed, and what is out of its reach."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.audits.report.components.held import held
from tests.audits.report.components.looking import Open, count, rows
from tests.audits.report.components.many import COMPONENTS, write_many

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGE_BYTES, SHEETS_BYTES = 30_000_000, 240_000_000
"""Of an audit of 30,000 components with eight pictures each asked for."""
SEARCH = 0.05
"""Seconds of the processor in which a search among them is done and drawn: three frames."""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 30,000 components."""
    root = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return write_many(root)


def test_thirty_thousand_components_are_within_the_budget(many: Path) -> None:
    size = many.stat().st_size
    sheets, veils = (
        list(many.parents[2].glob(f"data/audits/*/maps/pictures/*.{kind}"))
        for kind in ("jpg", "png")
    )
    over = sum(path.stat().st_size for path in veils)
    total = sum(path.stat().st_size for path in sheets) + over
    print(f"page {size:,} bytes, {len(sheets):,} sheets of {total:,} bytes, {over:,} of veils")
    assert len(sheets) == len(veils)
    assert size < PAGE_BYTES and total < SHEETS_BYTES
    found = held(many.read_text(encoding="utf-8"))
    assert min(found.data["sheet"]) == 0
    assert {len(entry[5]) for entry in found.details} == {6}


def test_thirty_thousand_components_are_searched_in_no_time(opened: Open, many: Path) -> None:
    page = opened(many, also=many.parents[2].as_uri())
    assert count(page) == COMPONENTS and len(rows(page)) == 25
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        """Seconds of the processor in scripts, style and layout."""
        metrics = session.send("Performance.getMetrics")["metrics"]
        counted = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
        return sum(one["value"] for one in metrics if one["name"] in counted)

    search = """([id, value]) => {
      const field = document.getElementById(id);
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      document.body.offsetHeight;
    }"""
    taken: dict[str, list[float]] = {"text": [], "sort": []}
    for text in ("thing", "no. 0", "no. 021", "21", "zzz", "no. 1", "name", ""):
        before = spent()
        page.evaluate(search, ["text", text])
        taken["text"].append(spent() - before)
    for key in ("clarity", "images", "stability", "clarity"):
        before = spent()
        page.evaluate(search, ["sort", key])
        taken["sort"].append(spent() - before)
    print({what: [round(1000 * one) for one in times] for what, times in taken.items()}, "ms")
    assert sorted(taken["text"])[len(taken["text"]) // 2] < SEARCH
    assert taken["sort"][-1] < SEARCH
    # Of the last page, the sheets beside the page are loaded.
    picture = page.locator("#rows .cut img").last
    picture.evaluate("image => image.decode()")
    assert "/maps/pictures/" in str(picture.get_attribute("src"))
    assert count(page) == COMPONENTS


def test_pictures_that_are_out_of_reach_are_said_so(
    browser: "Browser", many: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "components.html"
    shutil.copy(many, alone)
    found = held(many.read_text(encoding="utf-8"))
    far = found.data["components"][found.data["sheet"].index(max(found.data["sheet"]))]
    page = browser.new_page()
    page.goto(f"{alone.as_uri()}#{far}")
    sentence = page.locator("#one .none", has_text="which this page does not reach from here")
    sentence.wait_for()
    sheet = f"{max(found.data['sheet']):05d}.jpg"
    assert f"data/audits/zoo-small/maps/pictures/{sheet}" in sentence.inner_text()
    # Those within the page are still there, and all else is.
    near = found.data["components"][found.data["sheet"].index(0)]
    page.goto(f"{alone.as_uri()}#{near}")
    page.locator("#one .cut img").first.evaluate("image => image.decode()")
    assert not page.locator("#one .none").locator("visible=true").count()
    page.close()
