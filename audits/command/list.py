"""`audit list`: the audits of params.yaml, and what their last reports say."""

import argparse
from functools import reduce
from typing import Any

from audits.history.versions import SHORT, git
from audits.publish.description import FIGURES
from pipeline import layout
from pipeline.artifacts.store import json_text, read_json
from pipeline.config import load_params

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit list
  audit list --json
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "list",
        description="List the audits of params.yaml: dataset and model, the version and commit of "
        "the last report, its headline and key figures. Reads reports/ only; whether they are of "
        "today's code and data, `audit status` says.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    parser.set_defaults(run=_run, command="list")


def _run(arguments: argparse.Namespace) -> str:
    audits = [
        {"audit": name, "dataset": audit.dataset, "model": audit.model, "report": _report(name)}
        for name, audit in load_params().audits.items()
    ]
    if arguments.json:
        return json_text({"audits": audits})
    if not audits:
        return "params.yaml has no audit: audit add NAME --dataset KEY --model KEY"
    return "\n".join(line for one in audits for line in _said(one))


def _report(name: str) -> dict[str, Any] | None:
    """What an audit's last report says; None where there is none.

    Its `commit` and `date` are None where it is not committed as it is; `figures`, by their names
    in metrics.json, are those that it has and that apply.
    """
    folder = layout.report(name)
    if not (folder / "metrics.json").is_file():
        return None
    metrics = read_json(folder / "metrics.json")
    measured = [
        key for key in FIGURES if key.split(".")[0] not in metrics.get("does_not_apply", {})
    ]
    figures = {key: reduce(_within, key.split("."), metrics) for key in measured}
    committed = git("log", "-1", "--format=%H %cs", "--", folder.as_posix())
    if git("status", "--porcelain", "--", folder.as_posix()):
        committed = []
    commit, date = committed[0].split() if committed else (None, None)
    with (folder / "report.md").open(encoding="utf-8") as report:
        headline = report.readline().removeprefix("# ").strip()
    return {
        "version": read_json(folder / "provenance.json")["dataset"]["fingerprint"],
        "commit": commit,
        "date": date,
        "headline": headline,
        "figures": {key: value for key, value in figures.items() if value is not None},
    }


def _within(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _said(one: dict[str, Any]) -> list[str]:
    first = f"{one['audit']}: {one['model']} on {one['dataset']}"
    report = one["report"]
    if report is None:
        return [first, f"  no report yet: dvc repro publish@{one['audit']}"]
    commit = f"{report['commit'][:SHORT]}, {report['date']}" if report["commit"] else "uncommitted"
    figures = (f"{value:.4g} {FIGURES[key]}" for key, value in report["figures"].items())
    return [
        f"{first}, version {report['version'][:SHORT]} ({commit})",
        f"  {report['headline']}",
        f"  {'; '.join(figures)}",
    ]
