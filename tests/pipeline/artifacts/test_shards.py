"""Shards in a store: what is read is what was written, and the folder says where it lies."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pydantic import ValidationError
from s3fs import S3FileSystem
from upath import UPath

from pipeline.artifacts.resume import discard, kept, resumable
from pipeline.artifacts.shards import opened as opened_shard
from pipeline.artifacts.shards import ready, rows_in, shards, write_shard, written
from pipeline.artifacts.store import atomic
from pipeline.config import ConfigError, Params, load_params
from pipeline.embeddings.images import parts_left
from pipeline.embeddings.vectors import read_embeddings, vector_table, write_vectors
from pipeline.sae.blocks import EmbeddingBlocks
from tests.pipeline.invented_store import forget
from tests.pipeline.sae.invented_shards import images, opened, write
from tests.recipes import results

Bucket = Callable[[Path], UPath]
X = np.arange(12, dtype=np.float32).reshape(6, 2)
IDS = [f"i{row}" for row in range(6)]


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> UPath:
    """An empty folder of a bucket."""
    (tmp_path / "empty").mkdir()
    return bucket(tmp_path / "empty") / "shards"


def listed(store: UPath) -> set[str]:
    """Names of what lies in a folder of a bucket, asked by another process."""
    forget()
    with suppress(FileNotFoundError):
        return {path.rpartition("/")[2] for path in S3FileSystem().ls(store.path, refresh=True)}
    return set()


def test_the_folder_says_where_a_shard_lies_by_its_content(tmp_path, store):
    for number, rows in enumerate((slice(0, 4), slice(4, 6))):
        for to, at in ((None, "here"), (store, "there")):
            write_vectors(tmp_path / at, number, [vector_table(IDS[rows], {"x": X[rows]})], to)
    lines = shards(tmp_path / "there")
    assert sorted((tmp_path / "there").iterdir()) == lines
    assert [path.name for path in lines] == ["part-00000.parquet.url", "part-00001.parquet.url"]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in shards(tmp_path / "here")]
    sizes = [path.stat().st_size for path in shards(tmp_path / "here")]
    said = zip(digests, sizes, strict=True)
    assert [path.read_text() for path in lines] == [f"{store}/{d}.parquet {s}\n" for d, s in said]
    assert listed(store) == {f"{digest}.parquet" for digest in digests}
    found = read_embeddings(tmp_path / "there", "x")
    assert found.image_ids.tolist() == IDS
    np.testing.assert_array_equal(found.values, X)
    assert list(map(rows_in, lines)) == [4, 2]


def test_a_shard_that_is_there_is_not_sent_again(tmp_path, store, monkeypatch):
    sent = []
    put = S3FileSystem.put_file
    monkeypatch.setattr(S3FileSystem, "put_file", lambda *a, **k: sent.append(a[2]) or put(*a, **k))
    for folder in ("a", "b"):
        write_shard(tmp_path / folder, 0, pa.table({"x": X[:, 0]}), store)
    assert len(sent) == len(listed(store)) == 1
    cut_off = next(iter(listed(store)))
    S3FileSystem().pipe_file(f"{store.path}/{cut_off}", b"half")
    forget()
    write_shard(tmp_path / "c", 0, pa.table({"x": X[:, 0]}), store)
    assert len(sent) == 2
    assert rows_in(shards(tmp_path / "c")[0]) == 6


def test_training_reads_the_same_images_in_the_same_order(tmp_path, store):
    manifest, *_ = write(tmp_path / "here")
    for number, path in enumerate(shards(tmp_path / "here")):
        with written(tmp_path / "there", number, store) as temporary:
            temporary.write_bytes(path.read_bytes())
    orders = []
    for at in ("here", "there"):
        blocks = opened(tmp_path / at, manifest, columns=("x", "spatial"), pool=9)
        orders.append(images(blocks.batches(7, 0.6, seed=2, epoch=1)))
    assert orders[0] == orders[1] and len(orders[0]) == 24


def test_what_is_gone_from_the_store_is_named(tmp_path, store):
    manifest, *_ = write(tmp_path / "here")
    content = shards(tmp_path / "here")[0].read_bytes()
    for number in range(2):
        with written(tmp_path / "there", number, store) as temporary:
            temporary.write_bytes(content)
    line = shards(tmp_path / "there")[0]
    S3FileSystem().rm(line.read_text().split()[0])
    forget()
    said = rf"{line} says that .*{store}/\w+\.parquet, and nothing is there.*--force"
    for read in (
        lambda: read_embeddings(tmp_path / "there", "x"),
        lambda: EmbeddingBlocks.open(tmp_path / "there", manifest, None),
    ):
        with pytest.raises(FileNotFoundError, match=said):
            read()


def test_a_damaged_shard_and_a_store_that_is_away_are_told_apart(tmp_path, store, monkeypatch):
    manifest, *_ = write(tmp_path / "here")
    content = shards(tmp_path / "here")[0].read_bytes()
    with written(tmp_path / "there", 0, store) as temporary:
        temporary.write_bytes(content[:-9])
    said = rf"part-00000\.parquet\.url cannot be read: .*delete {store}/\w+\.parquet and make"
    with pytest.raises(ValueError, match=said):
        EmbeddingBlocks.open(tmp_path / "there", manifest, None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    forget()
    with pytest.raises(ConnectionError, match=rf"{store}/\w+\.parquet cannot be read from"):
        EmbeddingBlocks.open(tmp_path / "there", manifest, None)


def test_one_wrong_bit_in_the_store_is_noticed(tmp_path, store):
    write_vectors(tmp_path, 0, [vector_table(IDS, {"x": X})], store)
    manifest = pd.DataFrame({"image_id": IDS})
    there = shards(tmp_path)[0].read_text().split()[0]
    with opened_shard(shards(tmp_path)[0]) as file:
        chunk = file.metadata.row_group(0).column(1)
    content = bytearray(S3FileSystem().cat_file(there))
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    S3FileSystem().pipe_file(there, bytes(content))
    blocks = EmbeddingBlocks.open(tmp_path, manifest, None)
    with pytest.raises(ValueError, match=r"00000\.parquet\.url cannot be read.*(?i:crc|checksum)"):
        blocks.mean_and_scale()


def test_a_line_of_somebody_else_s_is_refused(tmp_path):
    line = tmp_path / "part-00000.parquet.url"
    line.write_text("/etc/passwd 9\n")
    with pytest.raises(ValueError, match=r"part-00000\.parquet\.url says '/etc/passwd 9', which"):
        rows_in(line)


def test_what_a_store_does_not_take_leaves_nothing(tmp_path, store):
    nowhere = UPath("s3://no-such-bucket/shards")
    with pytest.raises(ConnectionError, match=r"shards is s3://no-such-bucket/shards in params"):
        ready(nowhere)
    with pytest.raises(ConnectionError, match=r"s3://no-such-bucket/shards/.* cannot be put into"):
        write_shard(tmp_path / "a", 0, pa.table({"x": X[:, 0]}), nowhere)
    assert not list((tmp_path / "a").iterdir())
    with pytest.raises(OSError, match="half"), written(tmp_path / "a", 0, store) as temporary:
        temporary.write_bytes(b"half")
        raise OSError("half")
    assert not list((tmp_path / "a").iterdir())
    assert listed(store) == set()


def test_a_store_that_is_ready_says_what_lies_there(store):
    assert ready(None) is None
    assert ready(store) == ready(store) == store
    assert "SHA-256" in S3FileSystem().cat_file(f"{store.path}/README.txt").decode()


def test_work_goes_on_at_the_first_shard_that_is_not_there(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids = pd.DataFrame({"image_id": IDS})
    out = Path("data/embeddings/a")
    with pytest.raises(KeyboardInterrupt), resumable(out, "key") as parts:
        write_vectors(parts, 1, [vector_table(IDS[2:4], {"x": X[2:4]})], store)
        raise KeyboardInterrupt
    (work,) = kept()
    assert work.size == os.path.getsize(next(work.path.rglob("*.url")))
    with resumable(out, "key") as parts:
        left = parts_left(ids, 2, parts)
        assert [part.number for part in left] == [0, 2]
        for part in left:
            rows = slice(2 * part.number, 2 * part.number + 2)
            write_vectors(parts, part.number, [vector_table(IDS[rows], {"x": X[rows]})], None)
    assert [path.suffix for path in shards(out)] == [".parquet", ".url", ".parquet"]
    np.testing.assert_array_equal(read_embeddings(out, "x").values, X)
    # made anew with others in place of them, also of those in the store
    with resumable(out, "other") as parts:
        write_vectors(parts, 0, [vector_table(IDS, {"x": X})])
    assert [path.name for path in out.iterdir()] == ["part-00000.parquet"]


def test_what_is_left_unfinished_can_be_cleaned(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt), resumable(Path("data/embeddings/a"), "key") as parts:
        write_vectors(parts, 0, [vector_table(IDS, {"x": X})], store)
        raise KeyboardInterrupt
    (work,) = kept()
    assert discard(work)
    assert not work.path.exists()
    assert len(listed(store)) == 1


@pytest.mark.parametrize(
    ("of", "written"),
    # what is written first of all that is not a stage's: the embeddings that are encoded
    [
        ("embed", {".url": 4}),
        ("perturb", {".url": 4}),
        ("encode", {".parquet": 1, ".url": 1}),
    ],
)
def test_stages_give_the_same_numbers(of, written, store, tmp_path, monkeypatch):
    make = getattr(results, f"of_{of}")
    here = make()
    assert listed(store) == set()
    raw = yaml.safe_load((results.ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw | {"shards": str(store)}))
    monkeypatch.setattr(results, "ROOT", tmp_path)
    suffixes = Counter[str]()

    def counted(path: Path) -> AbstractContextManager[Path]:
        suffixes[path.suffix] += 1
        return atomic(path)

    monkeypatch.setattr("pipeline.artifacts.shards.atomic", counted)
    assert make() == here
    assert suffixes == written


def settings(tmp_path: Path, shards: object) -> Params:
    raw = yaml.safe_load((results.ROOT / "params.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw | {"shards": shards}))
    return load_params(path)


def test_the_setting_is_a_folder_of_a_store_or_nothing(tmp_path):
    assert settings(tmp_path, None).shards is None
    found = settings(tmp_path, "s3://bucket/shards/")
    assert str(found.shards) == "s3://bucket/shards"
    assert found.model_dump()["shards"] == "s3://bucket/shards"
    for wrong, said in (
        ("/mnt/shards", r"'/mnt/shards' is no folder of a store, such as s3://bucket/shards"),
        (3, "3 is no folder of a store"),
        ("https://x/y", "neither a folder nor in a store"),
        ("s3://me:secret@x/y", "holds a password"),
    ):
        with pytest.raises((ConfigError, ValidationError), match=said) as caught:
            settings(tmp_path, wrong)
        assert "shards" in str(caught.value)
        assert "secret" not in str(caught.value)
