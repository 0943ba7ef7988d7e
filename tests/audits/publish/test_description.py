"""Which run is current, and what runs and experiments say of themselves."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from audits.publish.description import CURRENT, NOTE
from tests.audits.publish.invented import call, client_of, runs_of

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def headline(text: str) -> None:
    Path("reports/lesions-tiny/report.md").write_text(f"# {text}\n\nmore\n")


def test_the_version_published_last_is_the_current_one(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = Path("reports/lesions-tiny/findings.csv")
    findings.write_text(
        "class,component_label,mode,images\nMEL,red skin,spurious,30\nNV,,unclear,4\n"
    )
    for text in ("first", "second", "first"):
        headline(text)
        call(monkeypatch, "--audit", "lesions-tiny")
        runs = runs_of(together, "lesions")
        (now,) = [run for run in runs if run.data.tags[CURRENT] == "true"]
        assert now.data.tags[NOTE].startswith(f"**{text}**\n\n[Open the report](#/experiments/")
        assert (
            "MEL on “red skin” (spurious, 30 images); NV (unclear, 4 images)."
            in now.data.tags[NOTE]
        )
        experiment = client_of(together).get_experiment_by_name("lesions")
        assert f"- **lesions-tiny**: {text}. [Report](" in experiment.tags[NOTE]
        assert f"{now.info.run_id}/artifacts/report.html" in experiment.tags[NOTE]
    assert len(runs) == 2
    (old, new) = sorted(runs, key=lambda run: run.info.start_time)
    assert old.info.run_id in new.data.tags[NOTE]
    assert "Previous version" not in old.data.tags[NOTE]


def test_publishing_again_writes_nothing(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--audit", "lesions-tiny")
    for name in ("set_tag", "set_experiment_tag", "log_batch", "log_artifact"):
        monkeypatch.setattr(MlflowClient, name, lambda *_, **__: pytest.fail("written again"))
    call(monkeypatch, "--audit", "lesions-tiny")
