"""How far two files are apart: by what is in them, and not by how they are written."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save

from audits.verify.contents import apart


def parquet(compression="zstd", **columns) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression=compression)
    return buffer.getvalue()


def test_another_compression_is_no_difference():
    columns = {"image_id": ["a", "b"], "x": [[1.0, 2.0], [3.0]], "y": [0.5, None]}
    before, now = parquet(**columns), parquet(compression="none", **columns)
    assert before != now
    assert apart("t.parquet", before, now) == []


def test_a_column_is_as_far_as_its_largest_difference_of_its_largest_number():
    before = parquet(a=[1.0, -4.0, 0.0], b=[1, 2, 3], c=["u", "v", "w"])
    now = parquet(a=[1.0, -4.0, 0.02], b=[1, 2, 3], c=["u", "x", "w"])
    first, second = apart("t.parquet", before, now)
    assert (first.what, first.by) == ("column a", pytest.approx(0.02 / 4))
    assert first.said == "1 of 3 differ, by 0.02 at most of 4"
    assert (second.what, second.by, second.said) == ("column c", None, "1 of 3 differ")


def test_lists_are_compared_by_what_they_hold():
    before = parquet(x=[[1.0, 2.0], [8.0]])
    (one,) = apart("t.parquet", before, parquet(x=[[1.0, 2.0], [6.0]]))
    assert one.by == 0.25
    (other,) = apart("t.parquet", before, parquet(x=[[1.0], [2.0, 8.0]]))
    assert (other.by, other.said) == (None, "lists of other lengths")


@pytest.mark.parametrize(
    ("now", "what"),
    [({"a": [1.0]}, "rows"), ({"b": [1.0, 2.0]}, "columns"), ({"a": [1.0, None]}, "column a")],
)
def test_what_no_number_says_is_named(now, what):
    (one,) = apart("t.parquet", parquet(a=[1.0, 2.0]), parquet(**now))
    assert (one.what, one.by) == (what, None)


def test_csv_keeps_ids_as_texts():
    before = pd.DataFrame({"image_id": ["001", "1"], "score": [1.0, 2.0]}).to_csv(index=False)
    (one,) = apart("t.csv", before.encode(), before.replace("001", "1").encode())
    assert (one.what, one.said) == ("column image_id", "1 of 2 differ")


def test_json_is_compared_by_value():
    before = {"a": {"b": 2.0, "c": [1, "x"]}, "d": None}
    now = {"a": {"b": 2.5, "c": [1, "y"]}, "d": None}
    found = apart("m.json", json.dumps(before).encode(), json.dumps(now, indent=1).encode())
    assert [(one.what, one.by) for one in found] == [("a.b", 0.2), ("a.c[1]", None)]


def test_tensors():
    weights = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    changed = {"w": weights + torch.tensor([[0.0, 0.0], [0.0, 1.0]]), "new": torch.zeros(1)}
    found = apart("w.safetensors", save({"w": weights}), save(changed))
    assert [(one.what, one.by) for one in found] == [
        ("tensor new", None),
        ("tensor w", pytest.approx(1 / 9)),
    ]


def test_numbers_that_are_no_numbers_in_both_are_the_same():
    values = np.array([np.nan, 1.0])
    assert apart("t.parquet", parquet(a=values), parquet(compression="none", a=values)) == []


def test_texts_that_are_missing_in_both_are_the_same():
    cells = {"a": ["u", None, "v"], "b": [True, None, False], "c": pa.nulls(3, pa.string())}
    now = parquet(compression="none", **cells)
    assert apart("t.parquet", parquet(**cells), now) == []
    texts = (pd.DataFrame(cells).to_csv(index=False, lineterminator=end) for end in ("\n", "\r\n"))
    assert apart("t.csv", *(text.encode() for text in texts)) == []


@pytest.mark.parametrize("other", [["u", None, None], ["u", "None", "v"], ["u", "nan", "v"]])
def test_a_text_that_is_missing_in_one_of_them_differs(other):
    before = parquet(a=["u", None, "v"])
    for pair in ((before, parquet(a=other)), (parquet(a=other), before)):
        (one,) = apart("t.parquet", *pair)
        assert (one.what, one.by, one.said) == ("column a", None, "1 of 3 differ")


def test_a_csv_has_words_that_look_as_if_they_were_missing():
    (one,) = apart("t.csv", b"n,label\n1,NA\n2,null\n", b"n,label\n1,\n2,null\n")
    assert (one.what, one.said) == ("column label", "1 of 2 differ")
