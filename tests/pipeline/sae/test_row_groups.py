"""Shards that are damaged, or do not go together or with the manifest."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import vector_column
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.sae.blocks import EmbeddingBlocks
from tests.pipeline.sae.invented_shards import opened, write


def test_shards_without_spatial_tokens_say_what_to_set(tmp_path):
    manifest, *_ = write(tmp_path, spatial=False)
    with pytest.raises(ValueError, match=r"00000\.parquet.*spatial_tokens of the audit.*dvc repro"):
        opened(tmp_path, manifest, columns=("x", "spatial"))
    with pytest.raises(ValueError, match="were not opened"):
        opened(tmp_path, manifest).mean_and_scale("both")


def test_shards_of_a_labeler_say_that_it_cannot_be_audited(tmp_path):
    table = vector_table(["a", "b"], {"z": np.eye(2, dtype=np.float32)})
    write_vectors(tmp_path, 0, [table])
    manifest = pd.DataFrame({"image_id": ["a", "b"], "split": "train"})
    with pytest.raises(ValueError, match=r"holds image_id, z and no class tokens x: the model"):
        EmbeddingBlocks.open(tmp_path, manifest, None)


def test_images_of_shards_and_manifest_are_the_same(tmp_path):
    manifest, *_ = write(tmp_path)
    known = manifest["image_id"] != "i0021"
    with pytest.raises(ValueError, match=r"00001\.parquet holds images.*'i0021'.*dvc repro"):
        opened(tmp_path, manifest[known])
    more = pd.concat([manifest, pd.DataFrame({"image_id": ["j"], "split": ["train"]})])
    with pytest.raises(ValueError, match="lack 'j'"):
        opened(tmp_path, more)
    with pytest.raises(ValueError, match="no image of the split 'test'"):
        opened(tmp_path, manifest, split="test")
    (tmp_path / "part-00009.parquet").write_bytes((tmp_path / "part-00001.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"repeat 'i00[23]"):
        opened(tmp_path, manifest)


def test_a_damaged_shard_is_named(tmp_path):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest, pool=3)
    path = tmp_path / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 8 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"part-00001\.parquet cannot be read.*dvc repro"):
        list(blocks.batches(6, 1.0, 0, 1))
    path.write_bytes(content[:50])
    with pytest.raises(ValueError, match=r"part-00001\.parquet cannot be read"):
        opened(tmp_path, manifest)


def test_one_wrong_bit_is_noticed(tmp_path):
    path = tmp_path / "part-00000.parquet"
    write_vectors(tmp_path, 0, [vector_table(["a", "b"], {"x": np.ones((2, 500), np.float32)})])
    blocks = EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"00000\.parquet cannot be read.*(?i:crc|checksum)"):
        blocks.mean_and_scale()


def test_a_missing_number_is_an_error(tmp_path):
    x = pa.array([[1.0, 2.0], [None, 1.0]], pa.list_(pa.float32(), 2))
    write_shard(tmp_path, 0, pa.table({"image_id": ["a", "b"], "x": x}))
    blocks = EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    with pytest.raises(ValueError, match=r"00000\.parquet cannot be read: a number is missing"):
        next(blocks.batches(2, 1.0, 0, 0))


def test_shards_of_two_formats_are_refused(tmp_path):
    for number, (name, width) in enumerate([("a", 2), ("b", 3)]):
        x = vector_column(np.ones((1, width), np.float32))
        write_shard(tmp_path, number, pa.table({"image_id": [name], "x": x}))
    with pytest.raises(ValueError, match=r"part-00001\.parquet holds .*'x': 3.*before it.*'x': 2"):
        EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    write_shard(tmp_path, 1, pa.table({"image_id": ["b"], "x": [[1.0, 2.0]]}))
    with pytest.raises(ValueError, match="column x is list<"):
        EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
