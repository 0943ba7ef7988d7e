"""What was planted in a sample dataset, and what the audit found of it."""

from collections.abc import Mapping
from typing import Any

from audits.names import distinct_names
from audits.report import wording
from audits.report.sources import Sources


def plants(sources: Sources) -> list[dict[str, Any]]:
    """Every plant with the name of its class and the title of its mode."""
    # A class that was left out for want of train images has no name.
    names = distinct_names(sources.dataset["classes"])
    return [
        {
            **{str(key): value for key, value in row.items()},
            "name": names.get(row["class"], row["class"]),
            "mode_label": wording.MODES.get(row["mode"], wording.sentence(row["mode"])),
        }
        for row in sources.plants.to_dict("records")
    ]


def summary(planted: Mapping[str, Any], fallen: int, found: int, total: int) -> str:
    """How the audit did against planted failures of prompts.

    Args:
        planted: `recall` and `precision`, each left out where it is a share of nothing.
        fallen: plants that the model falls for.
        found: those among them that the audit found.
        total: all plants.
    """
    text = (
        f"{wording.sentence(wording.counted(total, 'failure was', 'failures were'))} planted in "
        f"this sample; the model falls for {fallen}, and the audit found {found} of these"
    )
    text += f" (recall {wording.decimal(planted['recall'], 2)})." if "recall" in planted else "."
    if "precision" in planted:
        text += f" {wording.percent(planted['precision'])} of its findings are right about a plant."
    return text


def shortcuts(planted: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the planted shortcuts of a classifier stand among its candidates."""
    parts = [
        f"{plant} in component {entry['component']}, number {entry['rank']} (it tells "
        "the marked images apart with an AUC of "
        f"{wording.decimal(entry['encoding_auc'], 2)}{_called(entry)})"
        for plant, entry in sorted(planted.items())
    ]
    return f"Planted shortcuts and where they stand among the candidates: {wording.listed(parts)}."


def _called(entry: Mapping[str, Any]) -> str:
    """Which of the components that are called a shortcut tells the images apart best, where that is
    another one."""
    if entry.get("called_component") in (None, entry["component"]):
        return ""
    auc = wording.decimal(entry["called_encoding_auc"], 2)
    return (
        f"; of those called a shortcut component {entry['called_component']}, number "
        f"{entry['called_rank']}, does best, with {auc}"
    )
