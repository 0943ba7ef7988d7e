"""`audit versions`: the versions that an audit's dataset has had, and how they differ."""

import argparse
import json

import pandas as pd

from audits.history.changes import Difference, compare
from audits.history.versions import (
    SHORT,
    WORKSPACE,
    DatasetVersion,
    HistoryError,
    at,
    find,
    name_of,
    remedy,
    versions,
)
from pipeline import layout
from pipeline.config import load_params

__all__ = ["register"]


def history(audit: str, dataset: str, known: list[DatasetVersion], listing: bool) -> str:
    """The versions as a table, each against the one before, and where their reports are."""
    rows, lists = [], []
    for version, before in zip(known, [*known[1:], None], strict=True):
        change = None
        if before is not None and version.table is not None and before.table is not None:
            change = compare(before.table, version.table)
            lists += [f"\n{name_of(version)} against {name_of(before)}", *_list(change)]
        counts = map(str, map(len, change)) if change else ["-"] * len(Difference._fields)
        table = version.table
        rows.append(
            {
                "version": (version.fingerprint or "?")[:SHORT],
                "DVC hash": version.dvc_hash[:SHORT],
                "commit": version.commit if version.commit == WORKSPACE else version.commit[:SHORT],
                "date": version.date,
                "images": "?" if table is None else len(table),
                "classes": "?" if table is None else table["label"].nunique(),
                **dict(zip(Difference._fields, counts, strict=True)),
                "report": "yes" if _has_report(audit, version) else "-",
            }
        )
    lines = [pd.DataFrame(rows).to_string(index=False), *(lists if listing else [])]
    if any(version.table is None for version in known):
        lines.append(f"\nWhere images are ?, {remedy(dataset)}.")
    lines.append(f"\nA report: git show COMMIT:{layout.report(audit)}/metrics.json (or report.md).")
    lines.append("Its MLflow run: tags.`dataset.fingerprint` LIKE 'VERSION%'")
    return "\n".join(lines)


def difference(old: DatasetVersion, new: DatasetVersion, listing: bool) -> str:
    """What changed from one version to another, in counts or images."""
    assert old.table is not None
    assert new.table is not None
    change = compare(old.table, new.table)
    counts = ", ".join(
        f"{len(rows)} {key}" for key, rows in zip(change._fields, change, strict=True)
    )
    lines = [f"{name_of(new)} against {name_of(old)}: {counts}"]
    return "\n".join(lines + (_list(change) if listing else []))


def _list(change: Difference) -> list[str]:
    """A line for each image that changed."""
    lines = []
    for key, rows in zip(change._fields, change, strict=True):
        for row in rows.itertuples(index=False):
            what = f"{row[1]} -> {row[2]}" if key in ("relabelled", "moved") else f"{row[2]}"
            lines.append(f"  {key:10}  {row[0]}: {what}")
    return lines


def _has_report(audit: str, version: DatasetVersion) -> bool:
    text = at(version.commit, layout.report(audit) / "provenance.json")
    return text is not None and json.loads(text)["dataset"]["fingerprint"] == version.fingerprint


EXAMPLES = """\
examples:
  audit versions lesions-tiny                     every version, newest first
  audit versions lesions-tiny 7f10ed08 workspace  the difference of two
  audit versions lesions-tiny HEAD~3 HEAD --list  likewise, with the images

A version is the beginning of a fingerprint or of a DVC hash (which also tells splits apart), a Git
revision or the word workspace.
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "versions",
        description="List the versions that an audit's dataset has had on this branch, with what "
        "changed from each to the next, or compare two of them. Images are told apart by their "
        "bytes: another name is no change.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    parser.add_argument("pair", nargs="*", metavar="A B", help="compare version A with B")
    parser.add_argument("--list", action="store_true", help="list the images that changed")
    parser.set_defaults(run=_run, command="versions")


def _run(arguments: argparse.Namespace) -> str:
    dataset = load_params().audit(arguments.name).dataset
    if len(arguments.pair) not in (0, 2):
        raise HistoryError(f"{len(arguments.pair)} versions are given: give two or none")
    known = versions(dataset)
    if not arguments.pair:
        return history(arguments.name, dataset, known, arguments.list)
    old, new = (find(asked, known, dataset) for asked in arguments.pair)
    return difference(old, new, arguments.list)
