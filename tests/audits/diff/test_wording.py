"""Which metrics are told of."""

import json
import re
from collections.abc import Iterator

import pytest

from audits.diff.wording import HEADLINES
from audits.publish.version import flatten
from tests.audits.diff.copies import ROOT


def spelled(pattern: str) -> Iterator[str]:
    """The patterns that a pattern stands for, without the choices in its brackets."""
    bracket = re.search(r"\(([^()]*)\)(\??)", pattern)
    if bracket is None:
        yield pattern
        return
    for choice in [*bracket[1].split("|"), *([""] if bracket[2] else [])]:
        yield from spelled(pattern[: bracket.start()] + choice + pattern[bracket.end() :])


PATTERNS = [one for part in re.split(r"\|(?![^(]*\))", HEADLINES.pattern) for one in spelled(part)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_always_told_is_a_metric_of_a_report(pattern):
    assert HEADLINES.fullmatch(pattern.replace("\\.", ".").replace("\\w+", "x"))
    names: set[str] = set()
    for path in ROOT.glob("reports/*/metrics.json"):
        names |= flatten(json.loads(path.read_text())).keys()
    assert any(re.fullmatch(pattern, name) for name in names)
