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
