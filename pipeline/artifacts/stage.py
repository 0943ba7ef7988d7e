"""What every stage of an audit, a dataset or embeddings does first."""

import argparse
import os
import sys
import traceback
from types import TracebackType
from typing import Literal

import torch
from threadpoolctl import threadpool_limits

from pipeline.config import Params, load_params

OWN = ("pipeline", "audits")
FIND = {"audit": Params.audit, "dataset": Params.dataset, "embeddings": Params.entry}
"""Option → what looks up its value in params.yaml."""
INTERRUPTED = 130


def begin(
    description: str | None, of: Literal["audit", "dataset", "embeddings"] = "audit"
) -> tuple[str, Params]:
    """Read `--audit NAME` and params.yaml, and fix threads and seed.

    From here on an error that says what a person can do ends the process with its message alone.

    Args:
        description: what `--help` says, a stage's docstring.
        of: what the stage is of, and the option that names it.

    Raises:
        ConfigError: params.yaml cannot be run, or has no audit, dataset or embeddings of that name.
    """
    sys.excepthook = _say
    parser = argparse.ArgumentParser(description=description)
    section = of if of == "embeddings" else f"{of}s"
    parser.add_argument(f"--{of}", required=True, help=f"name under {section}: in params.yaml")
    name = getattr(parser.parse_args(), of)
    params = load_params()
    FIND[of](params, name)
    set_threads(params.threads, params.seed)
    return name, params


def _say(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error of the system, or one that the workflow has words for, without a traceback.

    Raises:
        SystemExit: the error is Ctrl-C, which is exit code 130, as shells have it.
    """
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    *_, (frame, _) = traceback.walk_tb(trace)
    ours = str(frame.f_globals.get("__package__")).partition(".")[0] in OWN
    if issubclass(kind, OSError) or (ours and issubclass(kind, ValueError | RuntimeError)):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def set_threads(threads: int, seed: int) -> None:
    """Fix the number of threads and the seed, on which the last digits of results depend.

    That of NumPy's and SciPy's linear algebra too, which by itself is the number of processors, or
    what OMP_NUM_THREADS says: the coefficients of a logistic regression go with it. Only libraries
    that are loaded by now are told, so call it after all imports.
    """
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    torch.manual_seed(seed)


def train_deterministically() -> None:
    """Refuse operations whose gradients differ from run to run.

    For stages that train; it costs seconds to switch on, and inference on a CPU does not need it.
    """
    torch.use_deterministic_algorithms(True)
    # Without it cuBLAS takes workspaces in any order. It is read at the first product on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Filling memory that is about to be overwritten costs a tenth of the training time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def pick_device(wanted: str, key: str) -> str:
    """Type of the device that a setting means, `auto` being CUDA, else MPS, else the CPU.

    Args:
        wanted: the setting.
        key: its name, for the message.

    Raises:
        ValueError: the machine has no such device.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    device = next(name for name, here in there.items() if here) if wanted == "auto" else wanted
    if not there[device]:
        raise ValueError(
            f"{key} is {wanted!r}, which is not on this machine; it has "
            f"{[name for name, here in there.items() if here]}: set it to one of them or to auto"
        )
    return device
