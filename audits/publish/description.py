"""Descriptions of runs and experiments, as Markdown with links, and which run is current."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from audits.publish import links
from audits.publish.version import FINGERPRINT_TAG, Comparison, Version

if TYPE_CHECKING:
    import mlflow

CURRENT, HEADLINE = "audit.current", "audit.headline"
"""Tags: whether a run is of the version that was published last, and its report's first line."""
NOTE, PARENT = "mlflow.note.content", "mlflow.parentRunId"
"""Tags that MLflow's own page goes by: a description, and the run that one stands below."""
FIGURES = {
    "failures.findings": "findings",
    "failures.confirmed": "of these confirmed",
    "recurrence.found_again": "found again by further dictionaries",
    "robustness.short.spurious_auc": "spurious AUC, short name",
    "robustness.both.spurious_auc": "spurious AUC, full name in templates",
    "sae.explained_variance": "variance explained by the SAE",
    "sae.zero_shot_agreement": "predictions that survive it",
}
WORST = 3


def describe(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", version: Version) -> None:
    """Make a finished run the current one of its audit, and describe it and its experiment.

    Writes what is not so yet only, so that publishing twice writes nothing the second time.
    """
    experiment = run.info.experiment_id
    others = [
        one
        for one in _finished(client, experiment)
        if one.info.run_name == version.audit and one.info.run_id != run.info.run_id
    ]
    for one in others:
        _tag(client, one, CURRENT, "false")
    _tag(client, run, CURRENT, "true")
    _tag(client, run, HEADLINE, version.headline)
    earlier = [one for one in others if one.info.start_time < run.info.start_time]
    previous = max(earlier, key=lambda one: one.info.start_time, default=None)
    _tag(client, run, NOTE, _of_version(run, version, previous))
    note = _of_experiment(_finished(client, experiment), experiment)
    if client.get_experiment(experiment).tags.get(NOTE) != note:
        client.set_experiment_tag(experiment, NOTE, note)


def of_comparison(comparison: Comparison, experiment: str, run_id: str) -> str:
    """Headline figures, and where the page is."""
    page = links.artifact(experiment, run_id, comparison.files[0].name)
    return f"{comparison.note}\n\n[Open the comparison]({page})"


def _of_version(
    run: "mlflow.entities.Run", version: Version, previous: "mlflow.entities.Run | None"
) -> str:
    experiment, own = run.info.experiment_id, run.info.run_id
    lines = [f"**{version.headline}**", ""]
    report, components = (
        links.artifact(experiment, own, name) for name in ("report.html", "components.html")
    )
    lines += [f"[Open the report]({report}), [look through the components]({components})", ""]
    figures = [
        (name, version.metrics[key]) for key, name in FIGURES.items() if key in version.metrics
    ]
    if figures:
        lines += [
            "| | |",
            "|---|---|",
            *(f"| {name} | {value:.4g} |" for name, value in figures),
            "",
        ]
    if version.findings:
        lines += [f"First of its findings: {'; '.join(version.findings[:WORST])}.", ""]
    if previous is not None:
        before = previous.info.run_id
        lines += [
            f"[Previous version]({links.run(experiment, before)}); what changed: "
            f"`audit diff {before} {own}`",
            "",
        ]
    if parent := run.data.tags.get(PARENT):
        page = links.artifact(experiment, parent, f"{version.dataset}.html")
        lines += [f"[Comparison with other models]({page})", ""]
    return "\n".join(lines).rstrip()


def _of_experiment(runs: Sequence["mlflow.entities.Run"], experiment: str) -> str:
    current = [one for one in runs if one.data.tags.get(CURRENT) == "true"]
    lines = [
        f"- **{one.info.run_name}**: {one.data.tags[HEADLINE]}. "
        f"[Report]({links.artifact(experiment, one.info.run_id, 'report.html')})"
        for one in sorted(current, key=lambda one: str(one.info.run_name))
    ]
    return "\n".join([*lines, f"\n[All runs]({links.runs(experiment)})"])


def _finished(client: "mlflow.MlflowClient", experiment: str) -> list["mlflow.entities.Run"]:
    """Runs of audits' versions and comparisons."""
    query = f"attributes.status = 'FINISHED' AND tags.`{FINGERPRINT_TAG}` != ''"
    return list(client.search_runs([experiment], filter_string=query))


def _tag(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", key: str, value: str) -> None:
    if run.data.tags.get(key) != value:
        client.set_tag(run.info.run_id, key, value)
