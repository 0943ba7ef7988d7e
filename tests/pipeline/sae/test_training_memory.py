"""Memory of a training does not grow with its steps."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STEPS, SETTLED = 60, 20
GROWTH = 30
"""MiB from the step at which all is allocated to the last. A number of its own that every step
leaves keeps 1.5 MiB a step from being used again, which is 60 in all."""

TRAINED = f"""
from pathlib import Path

import torch

from pipeline.config import load_params
from pipeline.sae import training
from pipeline.sae.blocks import Batch, EmbeddingBlocks

SIZE, WIDTH, STEPS = 1024, 1280, {STEPS}
held = []


def own_memory():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


class Drawn(EmbeddingBlocks):
    # Embeddings drawn at random, of which none are kept.

    rows = SIZE * STEPS

    def __init__(self):
        pass

    def mean_and_scale(self, tokens="x"):
        return torch.zeros(WIDTH, dtype=torch.float64), 1.0

    def batches(self, *args, **kwargs):
        generator = torch.Generator().manual_seed(0)
        for _ in range(STEPS):
            held.append(own_memory())
            x = torch.randn(SIZE, WIDTH, generator=generator) / WIDTH**0.5
            yield Batch(x, None, SIZE)


torch.set_num_threads(2)
sizes = {{"components": 256, "k": 64, "batch_size": SIZE, "epochs": 1, "atoms_init": "random"}}
once = {{"revive_after": [], "decay_after": []}}
config = load_params().audits["scenes-tiny"].sae.model_copy(update=sizes | once)
training.train(Drawn(), config, 0, lambda sae: {{}})
print(held[-1] - held[{SETTLED}])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much is a process's own")
def test_steps_leave_nothing_behind():
    command = [sys.executable, "-c", TRAINED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < GROWTH
