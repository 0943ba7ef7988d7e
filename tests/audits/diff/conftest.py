"""Two copies of a report, of which a test changes the second."""

import pytest

from tests.audits.diff.copies import Copy


@pytest.fixture
def before(tmp_path) -> Copy:
    return Copy(tmp_path / "before")


@pytest.fixture
def now(tmp_path) -> Copy:
    return Copy(tmp_path / "now")
