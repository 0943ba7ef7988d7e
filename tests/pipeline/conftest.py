"""Fixtures of several files: a dataset on disk, a bucket of S3, a hub's cache."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import huggingface_hub
import pytest
from upath import UPath


@pytest.fixture
def webdataset(tmp_path: Path) -> Path:
    """ImageNet as WebDataset has it, see `write_webdataset`."""
    from tests.pipeline.datasets.invented_imagenet import write_webdataset

    write_webdataset(tmp_path)
    return tmp_path


NUMBERS = count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of a server that speaks S3, on this machine and in memory."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its address, in the environment with who reads there, as a user has both."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))  # where indexes of tars are kept
    for name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    said = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**said, "ENDPOINT_URL": s3_server}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return s3_server


@pytest.fixture
def bucket(s3: str) -> Callable[[Path], UPath]:
    """Puts a folder's files into a bucket of their own: `bucket(folder)` is where they lie."""
    from s3fs import S3FileSystem

    from tests.pipeline.invented_store import forget

    forget()  # of another test, with what it has listed

    def put(folder: Path) -> UPath:
        store = S3FileSystem()
        name = f"bucket-{next(NUMBERS)}"
        store.mkdir(name)
        for path in folder.rglob("*"):
            if path.is_file():
                store.pipe_file(f"{name}/of/{path.relative_to(folder)}", path.read_bytes())
        return UPath(f"s3://{name}/of")

    return put


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
