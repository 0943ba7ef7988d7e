"""A system's Chromium under Playwright, and what tests that carry the marker `browser` open."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from audits.report.__main__ import settings_of, write_report
from pipeline.config import load_params

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
RUN = Path(os.environ.get("CLIP_AUDIT_RUN", ROOT))
AUDITS = ("scenes-tiny", "lesions-tiny")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu"]
"""Root, as in a container, has no sandbox."""
CONTRASTS = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  let read = 0;
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const node = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const ink = node.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(ink), light(behind(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    read += 1;
    if (ratio < 4.5) poor.push([words.currentNode.data.trim().slice(0, 40), ratio]);
  }
  return [read, poor];
}"""
"""Texts that can be seen, and those with less contrast than WCAG 2.2 asks of small ones (AA)."""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser, or a skip with what it wants."""
    if find_spec("playwright") is None:
        pytest.skip("Playwright is not installed: pip install -e '.[browser]'")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: install one, or name another in $CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def write_finished(folder: Path) -> None:
    """Put the results of a run's `make audit` into a folder, and its reports by today's code."""
    if not (RUN / "data" / "audits" / "scenes-tiny" / "validate").is_dir():
        pytest.skip(f"needs the results of `make audit` in {RUN}")
    for name in ("data", "vocabularies"):
        (folder / name).symlink_to(RUN / name, target_is_directory=True)
    for name in ("params.yaml", "dvc.lock"):
        shutil.copy(RUN / name, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        params = load_params()
        for audit in AUDITS:
            write_report(audit, settings_of(params, audit), params.seed)
