"""The report of the invented audit."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from audits.report.__main__ import write_report
from audits.report.sources import Settings
from pipeline.config import ModelConfig
from tests.audits.report.invented import AUDIT, DATASET, EMBEDDINGS, build


def settings(root: Path, positive: str | None = "bat") -> Settings:
    note = "Fine-tuned on the zoo's own pictures."
    model = ModelConfig(name="ViT-test", pretrained="tag-1", note=note)
    of = {"dataset": DATASET, "embeddings": EMBEDDINGS, "model": model, "root": root / "raw"}
    labels = None if positive is None else [positive]
    about = {"components": 64, "k": 4, "q": 0.05, "positive": labels, "negative": None}
    return Settings(**of, gallery=3, thumbnail=16, **about)


def unlinked(html: str) -> str:
    """A page without the links that say what its numbers are."""
    without_marks = re.sub(r' ?<a class="number mark"[^>]*>i</a>', "", html)
    return re.sub(r'<a class="number"[^>]*>(.*?)</a>', r"\1", without_marks)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Build an audit, write its report, return the folder."""
    monkeypatch.chdir(tmp_path)

    def make(positive: str | None = "bat", **kinds: bool) -> Path:
        build(tmp_path, **kinds)
        write_report(AUDIT, settings(tmp_path, positive), seed=7)
        return tmp_path / "reports" / AUDIT

    return make
