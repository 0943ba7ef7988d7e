"""The page of components of a finished run, as people open it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from audits.maps.pictures import EDGE
from audits.maps.veil import opacity, place
from tests.audits.report.components.held import Held, held
from tests.audits.report.components.looking import NARROW, WIDE, Open, count, one, rows
from tests.browser import AUDITS, CONTRASTS

pytestmark = pytest.mark.browser


def page_of(finished: Path, audit: str) -> Path:
    return finished / "reports" / audit / "components.html"


def known(finished: Path, audit: str) -> Held:
    return held(page_of(finished, audit).read_text(encoding="utf-8"))


@pytest.mark.parametrize("audit", AUDITS)
def test_the_first_components_are_there_at_once(opened: Open, finished: Path, audit: str) -> None:
    data = known(finished, audit)
    page = opened(page_of(finished, audit))
    assert count(page) == len(data.data["components"])
    order = sorted(
        (sheet, row, component)
        for sheet, row, component in zip(
            *(data.data[key] for key in ("sheet", "row", "components")), strict=True
        )
        if sheet >= 0
    )
    assert rows(page) == [component for *_, component in order[:25]]
    assert one(page) == order[0][2]
    for image in page.locator("#one .cut img, #rows .cut img").all():
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") > 0
    assert page.get_by_role("table", name="Components; each name opens").count() == 1
    assert page.get_by_role("columnheader").count() > 5
    assert page.get_by_role("rowheader").count() > 25


def test_a_search_finds_names_those_next_in_rank_classes_and_numbers(
    opened: Open, finished: Path
) -> None:
    found = known(finished, "scenes-tiny")
    names, data = found.data["names"], found.data
    page = opened(page_of(finished, "scenes-tiny"))
    for text in ("penguin", "MÓON", "ing"):
        asked = {"MÓON": "moon"}.get(text, text)
        holding = {
            data["components"][row]
            for row, label in enumerate(data["label"])
            if any(
                asked in names[name].lower() for name in [label, *data["runners"][row]] if name >= 0
            )
            or (data["told"][row] >= 0 and asked in data["classes"][data["told"][row]].lower())
        }
        page.get_by_role("searchbox", name="Name").fill(text)
        assert count(page) == len(holding) > 0
        assert set(rows(page)) <= holding
    page.get_by_role("searchbox", name="Name").fill("117")
    assert rows(page) == [117]
    page.get_by_role("searchbox", name="Name").fill("zzzz")
    assert count(page) == 0 and not rows(page)
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelectorAll('#rows tr').length === 25")


def test_every_measure_sorts_both_ways(opened: Open, finished: Path) -> None:
    found = known(finished, "lesions-tiny")
    page = opened(page_of(finished, "lesions-tiny"))
    for measure in found.data["measures"]:
        values = found.values(measure["key"])
        page.get_by_label("Sorted by").select_option(measure["key"])
        head = page.get_by_role("columnheader", name=measure["name"], exact=True).first
        for way, sign in (("descending", -1), ("ascending", 1)):
            assert head.get_attribute("aria-sort") == way
            known_ = sorted((sign * v, c) for c, v in values.items() if v is not None)
            rest = sorted(c for c, v in values.items() if v is None)
            assert rows(page) == [*(c for _, c in known_), *rest][:25], measure["key"]
            head.get_by_role("button").click()
        assert page.evaluate("document.activeElement.closest('th') !== null")


def test_filters_leave_what_they_name(opened: Open, finished: Path) -> None:
    found = known(finished, "scenes-tiny")
    data, size = found.data, len(found.data["components"])
    page = opened(page_of(finished, "scenes-tiny"))
    kinds = data["kinds"]
    for kind in kinds:
        page.get_by_label("Kind").select_option(label=kind)
        assert count(page) == data["kind"].count(kinds.index(kind))
    page.get_by_label("Kind").select_option(label="any")
    for said, value in (("fits", True), ("none fits", False), ("not measured", None)):
        page.locator("#fits").select_option(label=said)
        assert count(page) == data["fits"].count(value)
    page.locator("#fits").select_option(label="any")
    page.get_by_label("Part in").select_option("finding")
    assert count(page) == len(data["findings"]) > 0
    page.get_by_label("Part in").select_option("hidden")
    assert count(page) == len(data["hidden"]) > 0
    page.get_by_label("Part in").select_option("none")
    parts = {*map(int, data["findings"]), *data["hidden"], *data["candidate"]}
    assert count(page) == size - len(parts)
    page.get_by_label("Part in").select_option("")
    clarity, stability = found.values("clarity"), found.values("stability")
    page.get_by_label("Clarity, least").fill("0.5")
    page.get_by_label("Clarity, most").fill("0.9")
    page.get_by_label("Stability, least").fill("0.25")
    within = [
        c
        for c in clarity
        if clarity[c] is not None and 0.5 <= clarity[c] <= 0.9
        if stability[c] is not None and stability[c] >= 0.25
    ]
    assert count(page) == len(within) > 0 and set(rows(page)) <= set(within)


def test_all_of_one_component_is_shown(opened: Open, finished: Path) -> None:
    found = known(finished, "scenes-tiny")
    component = next(
        c for c in (found.data["components"][int(row)] for row in found.data["findings"])
    )
    row = found.row(component)
    path = page_of(finished, "scenes-tiny")
    page = opened(Path(f"{path}"))
    page.get_by_role("searchbox", name="Name").fill(str(component))
    page.get_by_role("searchbox", name="Name").press("Enter")
    shown = page.locator("#one")
    text = shown.inner_text()
    leads, counts, _, classes, near, pictures = found.details[row]
    for name in found.data["runners"][row]:
        assert found.data["names"][name] in text
    for label, _ in classes:
        assert found.data["classes"][label] in text
    assert f"tells “{found.data['classes'][found.data['told'][row]]}” best (AUROC " in text
    assert len(leads) == 5 and shown.locator("rect").count() == len(counts)
    assert f"{sum(counts):,} of {found.data['train']:,} train images fire it" in text
    assert shown.locator(".cut").count() == len(pictures)
    for measure in found.data["measures"]:
        assert measure["name"] in text
    # A neighbour opens, and Escape leads back to the list.
    shown.get_by_role("button").first.click()
    assert one(page) == near[0][0]
    assert page.evaluate("document.activeElement.id") == "one"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#rows') !== null")


def test_a_picture_is_cut_out_where_it_is(opened: Open, finished: Path) -> None:
    found = known(finished, "scenes-tiny")
    row = next(
        r for r, at in enumerate(found.data["row"]) if at > 2 and len(found.details[r][5]) > 5
    )
    page = opened(page_of(finished, "scenes-tiny"))
    page.get_by_role("searchbox", name="Name").fill(str(found.data["components"][row]))
    page.get_by_role("searchbox", name="Name").press("Enter")
    cut = page.locator("#one .cut").nth(5)
    cut.locator("img").first.evaluate("image => image.decode()")
    seen = Image.open(io.BytesIO(cut.screenshot())).convert("RGB").resize((EDGE, EDGE))
    folder = finished / "data" / "audits" / "scenes-tiny" / "maps" / "pictures"
    with Image.open(folder / f"{found.data['sheet'][row]:05d}.jpg") as sheet:
        at = (5 * EDGE, found.data["row"][row] * EDGE)
        tile = sheet.convert("RGB").crop((*at, at[0] + EDGE, at[1] + EDGE))
    inner = slice(6, -6)  # without its round corners
    apart = np.abs(np.asarray(seen, float) - np.asarray(tile, float))[inner, inner].mean()
    assert apart < 6


def test_it_works_by_keyboard(opened: Open, finished: Path) -> None:
    page = opened(page_of(finished, "scenes-tiny"))
    first = rows(page)
    page.keyboard.press("/")
    page.keyboard.type("o")  # within the field: `n`, `j` and others are letters
    page.keyboard.type("n")
    assert page.get_by_role("searchbox", name="Name").input_value() == "on"
    page.keyboard.press("Enter")
    left = rows(page)
    assert one(page) == left[0] and left != first
    assert page.locator("tr[aria-current] .open").evaluate("b => b === document.activeElement")
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    assert one(page) == left[2]
    assert page.locator("tr[aria-current] .open").evaluate("b => b === document.activeElement")
    page.keyboard.press("k")
    assert one(page) == left[1]
    page.keyboard.press("n")
    assert rows(page) != left
    page.keyboard.press("p")
    assert rows(page) == left
    for _ in range(25):
        page.keyboard.press("j")
    # Over the end of a page to the next one.
    assert not set(rows(page)) & set(left) and one(page) == rows(page)[1]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "one"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.closest('#rows') !== null")


def test_the_report_and_the_page_lead_to_each_other(opened: Open, finished: Path) -> None:
    page = opened(finished / "reports" / "scenes-tiny" / "report.html")
    card = page.locator("article.card").first
    finding = str(card.get_attribute("id"))
    link = card.locator("a[href^='components.html#']")
    component = int(str(link.get_attribute("href")).partition("#")[2])
    link.click()
    page.wait_for_url("**/components.html#*")
    assert one(page) == component
    page.locator("#one").get_by_role("link", name=finding, exact=True).click()
    page.wait_for_url(f"**/report.html#{finding}")
    assert page.locator(f"[id='{finding}']").is_visible()
    page.get_by_role("link", name="look through its components").click()
    page.wait_for_url("**/components.html*")


def test_pictures_show_where_components_fire(opened: Open, finished: Path) -> None:
    found = known(finished, "scenes-tiny")
    row = next(
        r for r, at in enumerate(found.data["row"]) if at > 2 and len(found.details[r][5]) > 5
    )
    component, image = found.data["components"][row], found.details[row][5][5][0]
    maps = pd.read_parquet(finished / "data" / "audits" / "scenes-tiny" / "maps" / "maps.parquet")
    own = maps[(maps["component"] == component) & (maps["image_id"] == image)].iloc[0]
    parts = own["parts"].reshape(own["rows"], own["columns"])
    page = opened(page_of(finished, "scenes-tiny"))
    page.get_by_role("searchbox", name="Name").fill(str(component))
    page.get_by_role("searchbox", name="Name").press("Enter")
    cut = page.locator("#one .cut").nth(5)
    veil = cut.locator(".veils")
    veil.evaluate("image => image.decode()")
    visibility = "one => getComputedStyle(one).visibility"
    assert veil.evaluate(visibility) == "hidden"
    bare = seen(cut)
    page.get_by_label("show where components fire").check()
    assert veil.evaluate(visibility) == "visible"
    assert veil.get_attribute("alt") == f"what adds to component {component}: {place(parts)}"
    # Patch by patch, it is as dark as it was made.
    before, after = (
        Image.fromarray(one).resize(parts.shape[::-1], Image.Resampling.BOX)
        for one in (bare, seen(cut))
    )
    left = np.asarray(after) / np.asarray(before)
    middle = (slice(1, -1), slice(1, -1))  # without its round corners
    assert np.abs(left - (1 - opacity(parts) / 255))[middle].max() < 0.1


def seen(cut: Any) -> np.ndarray:
    """A picture as it is on the screen, in grey levels, with no hand over it."""
    cut.page.mouse.move(1, 1)
    return np.asarray(Image.open(io.BytesIO(cut.screenshot())).convert("L"), np.float32)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_hangs_over_and_all_can_be_read(
    opened: Open, finished: Path, size: Any, scheme: str
) -> None:
    page = opened(page_of(finished, "scenes-tiny"), size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    read, poor = page.evaluate(CONTRASTS)
    assert read > 100 and not poor
    page.locator("#rows .open").nth(3).click()
    assert page.locator("#one h2").is_visible()
    box = page.locator("#one").bounding_box()
    assert box is not None and -1 <= box["y"] < size[1]
