"""What a bucket takes, beside boto3's own `get_object` and `put_object` and beside the folder.

    python -m benchmarks.stores --images FOLDER [--count 300] [--delays 0 0.03]
    python -m benchmarks.stores --shards 8

A server on this machine speaks S3 and answers each request after a delay, which stands for a
network's; it takes processor time of the same cores. A reading by one is one image after the other,
boto3's over one connection; `prepare` decodes and hashes too, and reads several at a time in each
process. Shards are of random class tokens, as `embed` writes them and `read_embeddings` reads them;
boto3's are encoded and decoded likewise. Requests are counted there.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from pipeline.artifacts.shards import shards
from pipeline.datasets.files import read_bytes
from pipeline.datasets.opening import Image, open_each
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.vectors import read_embeddings, vector_table, write_vectors
from pipeline.places import Place, place

BUCKET = "images"
ROWS, WIDTH = 10_000, 768
"""Of a shard, in half precision."""
REGION = "us-east-1"
SUFFIXES = (".jpg", ".jpeg", ".png")


def serve(delay: Any, asked: Any, address: Any) -> None:
    """Speak S3 until killed."""
    # Imported here, for processes that decode import this module.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = DomainDispatcherApplication(create_backend_app)

    def slow(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with asked.get_lock():
            asked.value += 1
        time.sleep(delay.value)
        answer: Iterable[bytes] = application(environ, start)
        return answer

    server = make_server("127.0.0.1", 0, slow, threaded=True)
    address.put(f"http://127.0.0.1:{server.server_port}")
    server.serve_forever()


@contextmanager
def server() -> Iterator[tuple[str, Any, Any]]:
    """Its address, its delay and how many requests it has had."""
    context = get_context("spawn")
    delay, asked, address = context.Value("d", 0.0), context.Value("q", 0), context.Queue()
    process = context.Process(target=serve, args=(delay, asked, address), daemon=True)
    process.start()
    try:
        yield address.get(timeout=60), delay, asked
    finally:
        process.kill()


def client_of_a_bucket() -> Any:
    """boto3's client, and an empty bucket."""
    import boto3  # here, likewise

    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def filled(root: Path, paths: list[str]) -> tuple[Any, Place]:
    """boto3's client, and a bucket with some files."""
    client = client_of_a_bucket()
    for path in paths:
        client.put_object(Bucket=BUCKET, Key=path, Body=(root / path).read_bytes())
    return client, place(f"s3://{BUCKET}")


def prepared(paths: list[str], root: Place, workers: int) -> int:
    """Images opened as `prepare` opens them."""
    return sum(1 for _ in open_each([Image(path) for path in paths], root, SHOWN, workers))


def of_shards(count: int, work: Path, delay: Any, asked: Any, delays: list[float]) -> None:
    """Print MB a second of shards that are written and read, in a folder and in a bucket."""
    rng = np.random.default_rng(0)
    ids = [f"train/n01440764/n01440764_{row}.JPEG" for row in range(ROWS)]
    x = [rng.standard_normal((ROWS, WIDTH)).astype(np.float16) for _ in range(count)]
    tables = [vector_table(ids, {"x": values}) for values in x]
    client, turn = client_of_a_bucket(), iter(range(10**9))

    def write(folder: Path, store: UPath | None) -> Path:
        for number, table in enumerate(tables):
            write_vectors(folder, number, [table], store)
        return folder

    here = write(work / "here", None)
    size = sum(path.stat().st_size for path in shards(here))
    lines = write(work / "lines", UPath(f"s3://{BUCKET}/read"))

    def write_by_boto3() -> None:
        for path in shards(write(work / f"{next(turn)}", None)):
            client.put_object(Bucket=BUCKET, Key=path.name, Body=path.read_bytes())

    def read_by_boto3() -> None:
        for path in shards(here):
            content = client.get_object(Bucket=BUCKET, Key=path.name)["Body"].read()
            pq.read_table(pa.BufferReader(content)).combine_chunks()

    ways: dict[str, Callable[[], object]] = {
        "folder, written": lambda: write(work / f"{next(turn)}", None),
        "folder, read": lambda: read_embeddings(here, "x"),
        "boto3, written": write_by_boto3,
        "bucket, written": lambda: write(
            work / f"{next(turn)}", UPath(f"s3://{BUCKET}/{next(turn)}")
        ),
        "boto3, read": read_by_boto3,
        "bucket, read": lambda: read_embeddings(lines, "x"),
    }
    print(f"{count} shards, {size / 1e6:.0f} MB, load {os.getloadavg()[0]:.1f}")
    for seconds in delays:
        delay.value = seconds
        for name, way in ways.items():
            before, start = asked.value, time.perf_counter()
            way()
            rate = size / 1e6 / (time.perf_counter() - start)
            requests = (asked.value - before) / count
            print(
                f"{seconds * 1000:3.0f} ms   {name:20} {rate:8.1f} MB/s   {requests:.2f} requests"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--images", type=Path, help="folder of images")
    what.add_argument("--shards", type=int, help="how many, of embeddings")
    parser.add_argument("--count", type=int, default=300, help="images")
    parser.add_argument("--delays", type=float, nargs="+", default=[0, 0.03], help="seconds")
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="of prepare")
    args = parser.parse_args()
    with server() as (address, delay, asked), tempfile.TemporaryDirectory() as nothing:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": address,
            "AWS_CONFIG_FILE": str(Path(nothing) / "none"),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        if args.shards:
            of_shards(args.shards, Path(nothing), delay, asked, args.delays)
            return
        root = args.images.resolve()
        found = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
        paths = sorted(path.relative_to(root).as_posix() for path in found)[: args.count]
        client, bucket = filled(root, paths)

        def by_boto3() -> None:
            for path in paths:
                client.get_object(Bucket=BUCKET, Key=path)["Body"].read()

        def by_us() -> None:
            for path in paths:
                read_bytes(bucket, path)

        ways: dict[str, Callable[[], object]] = {"boto3, by one": by_boto3, "read, by one": by_us}
        for workers in args.workers:
            ways[f"prepare, {workers} workers"] = partial(prepared, paths, bucket, workers)
        folder = {f"the folder, {w} workers": w for w in args.workers}
        print(f"{len(paths)} images, load {os.getloadavg()[0]:.1f}")
        for name, workers in folder.items():
            start = time.perf_counter()
            prepared(paths, root, workers)
            print(f"{name:24} {len(paths) / (time.perf_counter() - start):8.1f} images/s")
        for seconds in args.delays:
            delay.value = seconds
            for name, way in ways.items():
                before, start = asked.value, time.perf_counter()
                way()
                rate = len(paths) / (time.perf_counter() - start)
                requests = (asked.value - before) / len(paths)
                print(
                    f"{seconds * 1000:3.0f} ms   {name:20} {rate:8.1f} images/s   "
                    f"{requests:.2f} requests an image"
                )


if __name__ == "__main__":
    main()
