"""`audit check`: tables that DVC expects are begun, or not there."""

from pathlib import Path

import pytest

from audits.command.check import HEADER, start_tables
from pipeline import layout
from pipeline.config import load_params


def test_descriptions_whose_header_was_not_written_are_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise KeyboardInterrupt

    params = load_params()
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "write_text", stopped)
        start_tables(params, "scenes-tiny")
    start_tables(params, "scenes-tiny")
    assert layout.descriptions("scenes").read_text(encoding="utf-8") == HEADER
