"""From the links that `audit ui` prints to the reports, in a browser and a live MLflow."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from audits.review.verdict_files import read_verdicts
from tests.browser import AUDITS, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

PATIENCE = 120_000
"""Milliseconds in which MLflow's page has to show a report, on a busy machine."""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def links(browser: "Browser", finished: Path) -> Iterator[dict[str, str]]:
    """Audit → the address of its report, as `audit ui` prints it; MLflow runs meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["PYTHONPATH"] = str(ROOT)
    publish = [sys.executable, "-m", "audits.publish", "--sync"]
    subprocess.run(publish, cwd=finished, env=environment, check=True)
    command = [sys.executable, "-m", "audits.command", "ui", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=finished, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield printed(server.stdout)
        finally:
            server.terminate()
            server.communicate(timeout=60)


def printed(lines: IO[str]) -> dict[str, str]:
    """Audit → link to its report, of a table whose last line is a link to runs."""
    found: dict[str, str] = {}
    audit = ""
    for line in lines:
        if named := re.match(r"(\S+) +\(published", line):
            audit = named[1]
        elif link := re.match(r" +report +(\S+)", line):
            found[audit] = link[1]
        elif len(found) == len(AUDITS):
            break
    assert set(found) == set(AUDITS)
    return found


@pytest.mark.parametrize("audit", AUDITS)
def test_a_printed_link_opens_the_report(
    browser: "Browser", links: dict[str, str], audit: str
) -> None:
    page, said = _opened(browser, links[audit])
    report = page.frame_locator("iframe")
    report.locator(".kicker", has_text=f"Audit {audit}").wait_for(timeout=PATIENCE)
    assert report.locator("main > section").count() == 11
    # What a number is opens there, too, and leaves the place.
    number = report.get_by_role("link", name="variance explained")
    number.click()
    assert "Σ‖x − x̂‖²" in report.locator("#number").inner_text()
    report.get_by_role("button", name="Close").click()
    assert not report.locator("#number").is_visible() and number.is_visible()
    page.close()
    assert not said


def test_a_review_within_mlflow_leaves_by_hand(
    browser: "Browser", links: dict[str, str], tmp_path: Path
) -> None:
    """MLflow's frame lets a page neither store nor copy; it says so, and shows the CSV."""
    page, said = _opened(browser, links["scenes-tiny"])
    report = page.frame_locator("iframe")
    report.locator("#start").click(timeout=PATIENCE)
    finding = str(report.locator("[aria-current]").get_attribute("id"))
    page.keyboard.press("a")
    report.locator("#reviewer").fill("Ada")
    report.get_by_role("button", name="Copy CSV").click()
    status = report.locator("#said")
    status.get_by_text("copy the selected text").wait_for()
    assert "lost when it is closed" in report.locator("#kept").inner_text()
    csv = tmp_path / "verdicts.csv"
    csv.write_text(report.locator("#csv").input_value(), encoding="utf-8", newline="")
    assert read_verdicts(csv, {finding})[finding].verdict == "accept"
    _led_to(report, page, "#faithfulness")
    page.close()
    # That it may not copy, Chromium says, too.
    assert all("Clipboard API" in one for one in said)


def test_components_can_be_looked_through_within_mlflow(
    browser: "Browser", links: dict[str, str]
) -> None:
    """All but links to other files, and pictures that are not in the page, works there, too."""
    page, said = _opened(browser, links["scenes-tiny"].replace("report.html", "components.html"))
    shown = page.frame_locator("iframe")
    shown.locator("h1", has_text="256 components").wait_for(timeout=PATIENCE)
    shown.get_by_role("searchbox", name="Name").fill("penguin")
    shown.get_by_role("searchbox", name="Name").press("Enter")
    shown.locator("#one h2", has_text="penguin").wait_for()
    picture = shown.locator("#one .cut img").first
    picture.evaluate("image => image.decode()")
    assert picture.evaluate("image => image.naturalWidth") > 0
    shown.get_by_role("link", name="its report").click()
    shown.get_by_text("choose report.html in MLflow’s list of files").wait_for()
    page.close()
    assert not said


def _led_to(report: "FrameLocator", page: "Page", place: str) -> None:
    report.locator(f"nav a[href='{place}']").click()
    heading = report.locator(f"{place} h2")
    heading.wait_for()
    page.wait_for_timeout(200)
    box = heading.bounding_box()
    assert box is not None and 0 < box["y"] < 900


def _opened(browser: "Browser", address: str) -> tuple["Page", list[str]]:
    """MLflow's page, and what the report in it says on the console."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    said: list[str] = []
    page.on(
        "console",
        lambda one: said.append(one.text) if one.location["url"].startswith("blob:") else None,
    )
    page.goto(address)
    return page, said
