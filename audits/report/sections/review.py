"""Verdicts that persons gave already, for the cards and for going through the findings."""

import re
from collections.abc import Mapping
from typing import Any

FIELDS = ("verdict", "mode", "note", "date")


def given(evidence: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Finding → FIELDS of the verdict that a person gave, of findings that have one."""
    return {
        finding_id: {field: about["review"][field] for field in FIELDS}
        | {"note": unguarded(about["review"]["note"])}
        for finding_id, about in evidence.items()
        if about["review"]
    }


def unguarded(note: str) -> str:
    """A note without the apostrophe that the page puts before =, +, - and @.

    It keeps spreadsheets from running the note as a formula.
    """
    return note[1:] if re.match(r"'+[=+\-@\t\r]", note) else note
