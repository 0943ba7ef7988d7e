"""Whether a GPU gives the CPU's results, and how near its limit it works.

    python -m benchmarks.gpu                        # CUDA or MPS: results, then times
    python -m benchmarks.gpu --device cpu --small   # the same comparisons on the CPU, no times

One table; the exit status is 1 if a result differs or something fails. Weights are random, images
and embeddings invented. Tolerances stand in the table: a GPU adds up in another order.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks.gpu.results import compare_embeddings, compare_saes
from benchmarks.gpu.table import Table
from benchmarks.gpu.times import time_embedding, time_saes
from pipeline.artifacts.stage import pick_device, set_threads


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--small", action="store_true", help="compare results only")
    parser.add_argument("--count", type=int, default=4096, help="images for each model")
    args = parser.parse_args()
    device = pick_device(args.device, "--device")
    set_threads(2 if device == "cpu" else min(16, os.cpu_count() or 1), 0)
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["DVC_ROOT"] = temporary  # where unfinished work is kept
        table.attempt("comparing SAEs", lambda: compare_saes(table, device, folder))
        table.attempt("comparing embeddings", lambda: compare_embeddings(table, device, folder))
        if not args.small:
            table.attempt("timing SAEs", lambda: time_saes(table, device, folder))
            for name in ("ViT-B-32", "ViT-L-14"):
                time_it = partial(time_embedding, table, device, folder, name, args.count)
                table.attempt(f"timing {name}", time_it)
    card = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"{card}, torch {torch.__version__}, {os.cpu_count()} cores")
    print(pd.DataFrame(table.rows).to_string(index=False))
    sys.exit(table.failed)


if __name__ == "__main__":
    main()
