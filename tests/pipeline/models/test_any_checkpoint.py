"""Whatever is called a checkpoint, it is read as data or the message names the file."""

import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import save

from pipeline.config import ConfigError
from pipeline.models.tensors import SUFFIXES, read

TENSORS = {"visual.proj": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}


def saved(data: object, **options: object) -> bytes:
    content = io.BytesIO()
    torch.save(data, content, **options)
    return content.getvalue()


def zipped(names: tuple[str, ...]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02}q\0.")
    return content.getvalue()


WHOLE = (
    saved(TENSORS),
    saved({"state_dict": TENSORS, "epoch": 3}),
    saved(TENSORS, _use_new_zipfile_serialization=False),
    save(TENSORS),
    pickle.dumps({"a": [1.0]}),
    pickle.dumps({"a": [1.0]}, protocol=0),
    zipped(("archive/data.pkl", "archive/version")),
    zipped(("constants.pkl", "code/model.py")),
    b"<!DOCTYPE html>",
    b"GGUF\3\0\0\0",
    b"\x89HDF\r\n\x1a\n",
    b"\x93NUMPY\1\0",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Of a file of weights, or of something like it, perhaps damaged."""
    content = draw(st.one_of(st.binary(max_size=64), st.sampled_from(WHOLE)))
    how = draw(st.sampled_from(("whole", "cut", "changed", "changed")))
    if how == "cut":
        return content[: draw(st.integers(0, len(content)))]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 6)) if how == "changed" and content else 0):
        changed[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's, of damaged files
@example(content=b"J", suffix=".bin")
@example(content=WHOLE[6][:-60] + b"\0" + WHOLE[6][-59:], suffix=".pt")
@given(content=contents(), suffix=st.sampled_from(SUFFIXES))
def test_any_file_is_read_as_data_or_named(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"w{suffix}"
        path.write_bytes(content)
        try:
            read(path)
        except ConfigError as error:
            assert path.name in str(error)
