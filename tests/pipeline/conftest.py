"""Fixtures of several files: a dataset on disk."""

from pathlib import Path

import pytest


@pytest.fixture
def webdataset(tmp_path: Path) -> Path:
    """ImageNet as WebDataset has it, see `write_webdataset`."""
    from tests.pipeline.invented_imagenet import write_webdataset

    write_webdataset(tmp_path)
    return tmp_path
