"""What the report reads of the stages."""

import re
from pathlib import Path

import pandas as pd
import pytest

from audits.report.__main__ import write_report
from audits.report.sources import input_paths, read_sources
from pipeline.artifacts.store import write_table
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, build, image_ids


@pytest.mark.parametrize("path", [str(path) for path in input_paths(AUDIT, settings(Path()))])
def test_a_missing_input_names_the_file_and_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    build(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path(path).unlink()
    stage = input_paths(AUDIT, settings(tmp_path))[Path(path)]
    with pytest.raises(FileNotFoundError, match=re.escape(path)) as error:
        read_sources(AUDIT, settings(tmp_path))
    assert f"dvc repro {stage}" in str(error.value)


def test_a_missing_image_or_column_is_named(tmp_path: Path, report) -> None:
    report()
    (tmp_path / "raw" / "val" / "bat" / "0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"val/bat/0\.png"):
        write_report(AUDIT, settings(tmp_path), seed=7)
    write_table(
        tmp_path / "data" / "audits" / AUDIT / "concepts" / "hidden.csv",
        pd.DataFrame({"component": [1]}),
    )
    with pytest.raises(ValueError, match=r"hidden\.csv lacks the columns \['label'"):
        write_report(AUDIT, settings(tmp_path), seed=7)


def test_classes_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "data" / "audits" / AUDIT / "review" / "findings.csv"
    table = pd.read_csv(path)
    table["class"], table["verdict"] = 7, None
    write_table(path, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        findings = read_sources(AUDIT, settings(tmp_path)).findings
    assert list(findings["class"]) == ["7"] * 3
    assert list(findings["verdict"]) == [""] * 3
    assert findings["example_ids"][0] == image_ids("bat")[:2] + image_ids("club")[:3]
