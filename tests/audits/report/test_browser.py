"""The page as people open it: a report of a finished run in a browser, from the file."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audits.report.__main__ import write_report
from audits.review.verdict_files import read_verdicts
from pipeline.artifacts.store import write_json
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, build
from tests.browser import AUDITS, CONTRASTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, MIDDLE, NARROW = (1440, 900), (1000, 900), (390, 844)
A4 = 718
"""Pixels of a sheet between its margins."""

CUT_OFF = """() => [...document.querySelectorAll("svg.chart text")].filter((text) => {
  const [box, all] = [text.getBBox(), text.ownerSVGElement.viewBox.baseVal];
  return box.x < 0 || box.x + box.width > all.width || box.y + box.height > all.height;
}).map((text) => text.textContent)"""
"""Words of charts that reach out of their drawing."""

pytestmark = pytest.mark.browser
Open = Callable[..., "Page"]


@pytest.fixture
def opened(finished: Path, browser: "Browser") -> Iterator[Open]:
    """Open a report; what it says on the console or asks of a network fails the test at its end."""
    ended: list[Callable[[], None]] = []

    def make(audit: str, size: tuple[int, int] = WIDE, **more: Any) -> "Page":
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **more
        )
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        address = (finished / "reports" / audit / "report.html").as_uri()

        def end() -> None:
            context.close()
            assert not said
            outside = [url for url in asked if not url.startswith(("data:", "blob:"))]
            # Loaded anew, it asks for itself.
            assert set(outside) == {address}

        ended.append(end)
        page.goto(address)
        return page

    yield make
    for end in ended:
        end()


@pytest.mark.parametrize("size", [WIDE, MIDDLE, NARROW], ids=["wide", "middle", "narrow"])
@pytest.mark.parametrize("audit", AUDITS)
def test_every_section_is_led_to_and_can_be_seen(opened: Open, audit: str, size: Any) -> None:
    page = opened(audit, size)
    links = page.locator("nav > a")
    led = {link.get_attribute("href") for link in links.all()}
    there = {f"#{section.get_attribute('id')}" for section in page.locator("main > section").all()}
    assert led == there and len(there) == 11
    # What stays in place at the top covers no heading, with its note or without.
    hit = """heading => {
      const box = heading.getBoundingClientRect();
      return document.elementFromPoint(box.left + 4, box.top + 4) === heading;
    }"""
    for noted in (False, True):
        page.get_by_label("show where components fire").set_checked(noted)
        for link in links.all():
            link.click()
            section = page.locator(str(link.get_attribute("href")))
            heading = section.locator("h2")
            assert heading.is_visible()
            assert section.bounding_box()["height"] > 40  # type: ignore[index]
            assert heading.evaluate(hit), heading.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("audit", AUDITS)
def test_nothing_hangs_over_and_all_can_be_read(
    opened: Open, audit: str, size: Any, scheme: str
) -> None:
    page = opened(audit, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 384) == (scheme == "light")
    read, poor = page.evaluate(CONTRASTS)
    assert read > 300 and not poor


@pytest.mark.parametrize("font", ["", "DejaVu Sans", "Liberation Sans"])
@pytest.mark.parametrize("audit", AUDITS)
def test_no_word_of_a_chart_is_cut_off(opened: Open, audit: str, font: str) -> None:
    page = opened(audit)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    page.evaluate("font => { document.body.style.fontFamily = font }", font)
    assert page.evaluate(CUT_OFF) == []
    assert page.locator("svg.chart").count() > 10


@pytest.mark.parametrize("audit", AUDITS)
def test_pictures_come_before_the_notes_and_say_what_they_show(opened: Open, audit: str) -> None:
    page = opened(audit, (1300, 900))
    hero = page.locator(".hero").bounding_box()
    notes = page.locator(".limits").bounding_box()
    assert hero is not None and notes is not None
    assert hero["y"] < 600 and hero["y"] + hero["height"] <= notes["y"]
    for image in page.locator("img").all():
        assert image.get_attribute("alt")
        assert image.evaluate("image => image.naturalWidth") > 0


@pytest.mark.parametrize("audit", AUDITS)
def test_a_sheet_has_all_sections_and_no_controls(opened: Open, audit: str) -> None:
    page = opened(audit, (A4, 1000), color_scheme="dark")
    if page.locator("#start").count():
        page.locator("#start").click()
    page.emulate_media(media="print")
    for gone in ("nav", ".filter", ".start", "#review"):
        assert not page.locator(gone).locator("visible=true").count(), gone
    assert all(heading.is_visible() for heading in page.locator("main h2").all())
    assert page.evaluate("document.documentElement.scrollWidth") == A4
    # A sheet is white, whatever the screen is.
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.evaluate(CONTRASTS)[1]
    assert page.pdf(format="A4").startswith(b"%PDF")


def shown(page: "Page") -> list[str]:
    cards = page.locator("article.card").locator("visible=true").all()
    return [str(card.get_attribute("id")) for card in cards]


def test_filters_leave_the_findings_that_they_name(opened: Open) -> None:
    page = opened("scenes-tiny")
    everything = shown(page)
    buttons = page.locator(".filter button")
    modes = [button.get_attribute("data-mode") or "" for button in buttons.all()]
    assert modes[0] == "" and len(modes) > 3
    together: list[str] = []
    for button, mode in zip(buttons.all()[1:], modes[1:], strict=True):
        button.click()
        left = shown(page)
        assert button.inner_text().split()[-1] == str(len(left))
        said = page.locator(".filter output").inner_text()
        assert said == f"{len(left)} of {len(everything)} shown"
        cards = [page.locator(f"[id='{one}']") for one in left]
        assert {card.get_attribute("data-mode") for card in cards} == {mode}
        assert [b.get_attribute("aria-pressed") for b in buttons.all()].count("true") == 1
        together += left
    assert sorted(together) == sorted(everything)
    buttons.first.click()
    page.get_by_label("confirmed only").check()
    confirmed = page.locator("article.card[data-confirmed='yes']")
    assert len(shown(page)) == confirmed.count() < len(everything)


def test_components_show_where_they_fire(opened: Open) -> None:
    page = opened("scenes-tiny")
    veil = page.locator("article.card .veil").first
    visibility = "one => getComputedStyle(one).visibility"
    assert veil.evaluate(visibility) == "hidden"
    page.get_by_label("show where components fire").check()
    assert veil.evaluate(visibility) == "visible" and page.locator(".where-note").is_visible()


def test_a_review_by_keyboard_leaves_as_csv(opened: Open, tmp_path: Path) -> None:
    page = opened("scenes-tiny")
    ids = shown(page)
    at = "document.querySelector('[aria-current]').id"
    page.locator("#start").focus()
    page.keyboard.press("Enter")
    # A download has no name of a reviewer without one; asked for, it takes the keyboard there.
    page.keyboard.press("a")
    page.get_by_role("button", name="Download CSV").click()
    assert page.evaluate("document.activeElement.id") == "reviewer"
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    first = page.evaluate(at)
    page.keyboard.press("j")
    assert page.evaluate(at) != first
    page.keyboard.press("r")
    page.keyboard.press("n")
    page.keyboard.type('=1+1, "no" bat')  # letters that are keys, too
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("3")
    page.keyboard.press("j")
    page.keyboard.press("a")
    page.keyboard.press("u")
    said = page.locator("#said")
    assert "undone" in said.inner_text() and "3 for the CSV" in said.inner_text()
    current = page.locator("[aria-current]").bounding_box()
    panel = page.locator("#review").bounding_box()
    assert current is not None and panel is not None
    assert 0 <= current["y"] < panel["y"]
    csv = tmp_path / "verdicts.csv"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "scenes-tiny.csv"
    download.value.save_as(csv)
    taken = read_verdicts(csv, set(ids))
    verdicts = [(one.verdict, one.mode, one.note, one.reviewer) for one in taken.values()]
    assert verdicts == [
        ("accept", "", "", "Ada"),
        ("reject", "", '\'=1+1, "no" bat', "Ada"),
        ("accept", "typography", "", "Ada"),
    ]
    page.reload()
    marked = page.locator(".mine").locator("visible=true")
    assert marked.all_inner_texts()[0] == "here: accepted" and marked.count() == 3
    page.locator("#start").click()
    assert page.evaluate(at) not in taken
    page.keyboard.press("Escape")
    assert not page.locator("#review").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("audit", AUDITS)
def test_axe_finds_nothing_that_keeps_anybody_out(
    opened: Open, audit: str, size: Any, scheme: str
) -> None:
    if find_spec("axe_playwright_python") is None:
        pytest.skip("axe is not installed: pip install -e '.[browser]'")
    from axe_playwright_python.sync_playwright import Axe

    page = opened(audit, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    if page.locator("#start").count():
        page.locator("#start").click()
        page.keyboard.press("?")
    found = Axe().run(page, options={}).response
    assert len(found["passes"]) > 20
    worst = [
        (one["id"], one["impact"], [node["html"] for node in one["nodes"]])
        for one in found["violations"]
    ]
    assert not worst


def focused(page: "Page") -> str:
    found = page.evaluate(
        "(({id, dataset, innerText}) => id || dataset.do || innerText)(document.activeElement)"
    )
    return str(found)


def test_the_tab_key_goes_from_a_finding_to_its_controls_and_back(opened: Open) -> None:
    page = opened("scenes-tiny")
    page.locator("#start").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    finding = focused(page)
    assert finding == shown(page)[1]
    for _ in range(2):  # the component, and what the numbers are
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('.card').id") == finding
    controls = []
    for _ in range(17):
        page.keyboard.press("Tab")
        controls.append(focused(page))
    assert controls[:4] == ["previous", "next", "accept", "reject"]
    assert controls[9:12] == ["undo", "help", "stop"]
    assert controls[12:16] == ["note", "reviewer", "download", "copy"]
    for _ in range(len(controls) - 1):
        page.keyboard.press("Shift+Tab")
    assert focused(page) == "previous"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.closest('.card').id") == finding


def test_a_number_says_what_it_is_over_the_page(opened: Open) -> None:
    page = opened("scenes-tiny")
    box = page.locator("#number")
    card = page.locator("article.card").first
    place = page.evaluate("scrollY")
    card.get_by_role("link", name="largest z").click()
    assert "z = (R_j − μ_j)/σ_j" in box.inner_text() and "findings.csv: max_z" in box.inner_text()
    assert "paper: Eq. 8" in box.inner_text()
    page.keyboard.press("Escape")
    assert not box.is_visible() and "#n-" not in page.url
    # By keyboard, several at once; the keys of a review do not reach through.
    page.locator("#start").click()
    card.get_by_label("about: the numbers of this card").focus()
    page.keyboard.press("Enter")
    assert box.locator("dt").count() > 15
    # From its beginning on, though it is longer than the screen.
    assert box.evaluate("box => box.scrollHeight - box.clientHeight") > 0
    assert box.evaluate("box => box.scrollTop") == 0
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    assert not box.is_visible() and page.locator("#review").is_visible()
    assert focused(page) == "i" and not page.locator(".mine").locator("visible=true").count()
    assert page.evaluate("scrollY") >= place


def test_without_scripts_a_number_leads_to_the_list(opened: Open) -> None:
    page = opened("scenes-tiny", java_script_enabled=False)
    page.locator("article.card").first.get_by_role("link", name="clarity").click()
    assert page.url.endswith("#n-clarity")
    assert "(‖ū‖² − 1/n)" in page.locator("#n-clarity").inner_text()


@pytest.mark.parametrize("width", [1300, 390])
def test_no_word_of_a_tile_is_broken(
    browser: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    again = tmp_path / "data" / "audits" / AUDIT / "recurrence" / "metrics.json"
    write_json(again, {"recurrence": {"runs": 0, "findings": 3}})
    write_report(AUDIT, settings(tmp_path), seed=7)
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((tmp_path / "reports" / AUDIT / "report.html").as_uri())
    assert page.locator(".tiles .words").all_inner_texts() == ["not measured"]
    lines = """tile => [...tile.textContent.matchAll(/\\S+/g)].map((word) => {
      const range = document.createRange();
      range.setStart(tile.firstChild, word.index);
      range.setEnd(tile.firstChild, word.index + word[0].length);
      return range.getClientRects().length;
    })"""
    for tile in page.locator(".tiles dd").all():
        assert set(tile.evaluate(lines)) == {1}, tile.inner_text()
    page.close()
