"""Matching of two dictionaries: exact against scalable, and the scalable one at full size.

    python -m benchmarks.matching                  # m = 2,000 and 8,000 both ways, 30,000 scalable
    python -m benchmarks.matching --skip-large

The atoms are invented, in three kinds. half: half of the atoms have a noisy copy in the other
dictionary, as two seeds of one autoencoder do. random: none has. crowded: all atoms lie in narrow
clusters of which each dictionary has other shares, so that many want the same partners, which is
the hardest for candidates. Times are of single runs.
"""

import argparse
import os
import time

import torch
from torch import Tensor

from benchmarks.measured import peak
from pipeline.sae.matching import Match, match

KINDS = ("half", "random", "crowded")


def dictionaries(kind: str, m: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two dictionaries of m atoms."""
    generator = torch.Generator().manual_seed(seed)

    def normal(rows: int) -> Tensor:
        return torch.randn(rows, d, generator=generator) / d**0.5

    if kind == "crowded":
        centres = normal(max(20, m // 200))
        a, b = (
            centres[torch.randint(len(centres), (m,), generator=generator)] + 0.5 * normal(m)
            for _ in range(2)
        )
        return a, b
    a, b = normal(m), normal(m)
    if kind == "half":
        noise = torch.rand(m // 2, 1, generator=generator) * 2
        b[: m // 2] = a[: m // 2] + noise * normal(m // 2)
    return a, b[torch.randperm(m, generator=generator)]


def timed(a: Tensor, b: Tensor, exact_up_to: int) -> tuple[Match, float]:
    """A matching and its wall time in seconds."""
    start = time.perf_counter()
    found = match(a, b, exact_up_to)
    return found, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=768, help="d")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-large", action="store_true", help="without m = 30,000")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, peak {peak():.2f} GiB")
    large = [] if args.skip_large else [(30_000, kind) for kind in KINDS]
    # The large ones first, for the peak of a process is the largest so far.
    for m, kind in large:
        found, taken = timed(*dictionaries(kind, m, args.width, args.seed), exact_up_to=0)
        print(
            f"m {m:6,} {kind:8s} scalable {taken:7.2f} s, mean cosine {found.cosine.mean():.5f}, "
            f"peak {peak():.2f} GiB",
            flush=True,
        )
    for m in (2_000, 8_000):
        for kind in KINDS:
            a, b = dictionaries(kind, m, args.width, args.seed)
            scalable, quick = timed(a, b, exact_up_to=0)
            exact, slow = timed(a, b, exact_up_to=m)
            same = (scalable.partner == exact.partner).mean()
            lost = 1 - scalable.cosine.sum() / exact.cosine.sum()
            print(
                f"m {m:6,} {kind:8s} scalable {quick:7.2f} s, exact {slow:7.2f} s, "
                f"mean cosine {scalable.cosine.mean():.5f} and {exact.cosine.mean():.5f}, "
                f"lost {lost:.2e} of the sum, same partner {same:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
