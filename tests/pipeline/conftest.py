"""Fixtures of several files: a dataset on disk, a hub's cache."""

import hashlib
from pathlib import Path

import huggingface_hub
import pytest


@pytest.fixture
def webdataset(tmp_path: Path) -> Path:
    """ImageNet as WebDataset has it, see `write_webdataset`."""
    from tests.pipeline.datasets.invented_imagenet import write_webdataset

    write_webdataset(tmp_path)
    return tmp_path


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty hub cache, no network, and what puts files in: `hub_cache(repository, files)`."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def put(repository: str, files: dict[str, bytes]) -> None:
        place = folder / f"models--{repository.replace('/', '--')}"
        for part in ("refs", "blobs", "snapshots/0123"):
            (place / part).mkdir(parents=True)
        (place / "refs" / "main").write_text("0123")
        for name, content in files.items():
            blob = hashlib.sha256(content).hexdigest()
            (place / "blobs" / blob).write_bytes(content)
            (place / "snapshots" / "0123" / name).symlink_to(f"../../blobs/{blob}")

    return put
