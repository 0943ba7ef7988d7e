"""What every stage of an audit does first."""

import argparse

import torch

from pipeline.config import Params, load_params


def begin(description: str | None) -> tuple[str, Params]:
    """Read `--audit NAME` and params.yaml, and fix threads and seed.

    Args:
        description: what `--help` says, a stage's docstring.

    Raises:
        ConfigError: params.yaml cannot be run, or has no audit of that name.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--audit", required=True, help="name under audits: in params.yaml")
    name = parser.parse_args().audit
    params = load_params()
    params.audit(name)
    set_threads(params.threads, params.seed)
    return name, params


def set_threads(threads: int, seed: int) -> None:
    """Fix the number of threads and the seed, on which the last digits of results depend."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


def train_deterministically() -> None:
    """Refuse operations whose gradients differ from run to run.

    For stages that train; it costs seconds to switch on, and inference on a CPU does not need it.
    """
    torch.use_deterministic_algorithms(True)
    # Filling memory that is about to be overwritten costs a tenth of the training time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
