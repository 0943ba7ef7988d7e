"""Whatever a Parquet source holds, its images are read or the message names the file."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.files import parquet_rows, read_bytes

IMAGES = (
    pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    pa.struct([("bytes", pa.large_binary())]),
    pa.struct([("bytes", pa.string()), ("path", pa.int64())]),
    pa.struct([("bytes", pa.int32())]),
    pa.struct([("bytes", pa.list_(pa.uint8())), ("path", pa.string())]),
    pa.struct([("path", pa.string())]),
    pa.binary(),
    pa.string(),
    pa.list_(pa.binary()),
    pa.null(),
)
LABELS = (pa.int64(), pa.uint8(), pa.string(), pa.float64(), pa.list_(pa.int32()), pa.null())


@st.composite
def sources(draw: st.DrawFn) -> bytes:
    """A Parquet file with columns of any type, nulls among the rows, perhaps damaged."""
    n = draw(st.integers(0, 4))
    columns = {}
    for name, types in (("image", IMAGES), ("label", LABELS)):
        if draw(st.integers(0, 9)) == 0:
            continue
        kind = draw(st.sampled_from(types))
        columns[draw(st.sampled_from((name, name, name, name.upper())))] = pa.array(
            [_value(kind) if draw(st.booleans()) else None for _ in range(n)], kind
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        pq.write_table(pa.table(columns), path)
        content = path.read_bytes()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(content) - 1))
        byte = bytes([draw(st.integers(0, 255))])
        content = draw(st.sampled_from((content[:at], content[:at] + byte + content[at + 1 :])))
    return content


def _value(kind: pa.DataType) -> object:
    if pa.types.is_struct(kind):
        return {field.name: _value(field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_value(kind.value_type)]
    if pa.types.is_null(kind):
        return None
    return b"x" if "binary" in str(kind) else "x" if pa.types.is_string(kind) else 1


@pytest.mark.slow
@given(sources())
def test_any_parquet_file_is_read_or_named(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "train.parquet").write_bytes(content)
        try:
            rows = list(parquet_rows(root / "train.parquet"))
        except (OSError, ValueError) as error:
            assert "train.parquet" in str(error)
            return
        for row, found in enumerate(rows):
            assert found.label is None or isinstance(found.label, int)
            assert found.name is None or isinstance(found.name, str)
            try:
                assert isinstance(read_bytes(root, f"train.parquet#{row}"), bytes)
            except OSError as error:
                assert "train.parquet" in str(error)


@pytest.mark.parametrize("kind", IMAGES[2:])
def test_images_of_a_wrong_type_are_refused(kind: pa.DataType, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    image = pa.array([_value(kind)], kind)
    pq.write_table(pa.table({"image": image, "label": pa.array([1])}), path)
    with pytest.raises(ValueError, match=r"train\.parquet needs a column image with the fields"):
        list(parquet_rows(path))
