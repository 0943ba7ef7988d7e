"""`embed` by one process, and by Ray on two nodes of one processor each on this machine.

    python -m benchmarks.cluster --embeddings scenes-tiny --repeats 3

Both take one thread and shards of 1,024 images, and have to write the same bytes. The cluster is
there before a run's time begins. Prints seconds of whole runs, in turns, and the machine's load.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.nodes import Nodes, cluster
from pipeline import layout

ROOT = Path(__file__).parents[1]
SHARD_ROWS = 1024


def repository(folder: Path, entry: str, engine: str) -> Path:
    """The inputs of `embed`, linked, with settings of an engine."""
    (folder / layout.DATA).mkdir(parents=True)
    data = [layout.DATA / name for name in ("manifests", "models", "raw")]
    for path in (Path("pipeline"), Path("recipes.yaml"), *data):
        (folder / path).symlink_to((ROOT / path).resolve())
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw |= {"engine": engine, "threads": 1}
    raw["embeddings"][entry]["shard_rows"] = SHARD_ROWS
    (folder / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return folder


def seconds(folder: Path, entry: str, nodes: Nodes) -> float:
    """Of a run of `embed`, from nothing to its files."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipeline.embeddings.embed", "--embeddings", entry]
    done = subprocess.run(
        command, cwd=folder, env=nodes.environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start


def written(folder: Path, entry: str) -> dict[str, bytes]:
    """The shards of an entry."""
    return {path.name: path.read_bytes() for path in (folder / layout.embeddings(entry)).iterdir()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--embeddings", required=True, help="a key of embeddings in params.yaml")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (%(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, cluster(Path(name) / "ray", 1, 1) as nodes:
        print("round  local s  ray s  ratio  same bytes  load")
        for number in range(1, args.repeats + 1):
            found, times = [], []
            for engine in ("local", "ray"):
                folder = repository(Path(name, f"{engine}-{number}"), args.embeddings, engine)
                times.append(seconds(folder, args.embeddings, nodes))
                found.append(written(folder, args.embeddings))
            here, there = times
            print(
                f"{number:5}  {here:7.1f}  {there:5.1f}  {there / here:5.2f}  "
                f"{found[0] == found[1]!s:10}  {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
