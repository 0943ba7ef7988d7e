"""The report of the invented audit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from audits.report.__main__ import write_report
from audits.report.page import Settings
from tests.audits.report.invented import AUDIT, DATASET, build


def settings(root: Path, positive: str | None = "bat") -> Settings:
    labels = None if positive is None else [positive]
    about = {"components": 64, "k": 4, "q": 0.05}
    return Settings(root / "raw", 3, 16, **about, positive=labels, negative=None)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Build an audit, write its report, return the folder."""
    monkeypatch.chdir(tmp_path)

    def make(positive: str | None = "bat", **kinds: bool) -> Path:
        build(tmp_path, **kinds)
        write_report(AUDIT, DATASET, settings(tmp_path, positive), seed=7)
        return tmp_path / "reports" / AUDIT

    return make
