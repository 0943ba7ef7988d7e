"""Memory of a training does not grow with its steps."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GROWTH = 80
"""MiB in 100 batches after the first. What every batch leaves of its own, be it a number, keeps the
memory around it from being used again: 1 to 9 MiB a batch here."""

BATCHES = """
from pathlib import Path

import torch

SIZE, WIDTH, COUNT, SETTLED = 1024, 1280, 120, 20
held = []


def own_memory():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def batches():
    generator = torch.Generator().manual_seed(0)
    for _ in range(COUNT):
        held.append(own_memory())
        yield torch.randn(SIZE, WIDTH, generator=generator) / WIDTH**0.5


torch.set_num_threads(2)
"""
GREW = """
print(max(held[SETTLED:]) - held[SETTLED])
"""
STEPS = """
from pipeline.config import load_params
from pipeline.sae import training
from pipeline.sae.blocks import Batch, EmbeddingBlocks


class Drawn(EmbeddingBlocks):
    rows = SIZE * COUNT

    def __init__(self):
        pass

    def mean_and_scale(self, tokens="x"):
        return torch.zeros(WIDTH, dtype=torch.float64), 1.0

    def batches(self, *args, **kwargs):
        return (Batch(x, None, SIZE) for x in batches())


sizes = {"components": 256, "k": 64, "batch_size": SIZE, "epochs": 1, "atoms_init": "random"}
once = {"revive_after": [], "decay_after": []}
config = load_params().audits["scenes-tiny"].sae.model_copy(update=sizes | once)
training.train(Drawn(), config, 0, lambda sae: {})
"""
KMEANS = """
from pipeline.sae.start import centroids

centroids(lambda: (x.half().float() - 0.1 for x in batches()), 512, passes=1)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much is a process's own")
@pytest.mark.parametrize("work", [STEPS, KMEANS], ids=["steps", "kmeans"])
def test_batches_leave_nothing_behind(work):
    # A process of its own, whose memory nothing else has used.
    command = [sys.executable, "-c", BATCHES + work + GREW]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    assert float(done.stdout) < GROWTH
