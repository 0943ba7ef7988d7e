"""Where a report comes from: inputs, weights, versions, seeds.

Nothing of the run, such as time or commit: a clone that makes the report anew on the same kind of
processor gets the same bytes. The code is that of the commit that holds the report, which its run
in MLflow has as a tag.
"""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy
import torch
from threadpoolctl import threadpool_info

PACKAGES = (
    "torch",
    "open_clip_torch",
    "numpy",
    "scikit-learn",
    "dvc",
    "mlflow",
    "pyarrow",
    "pandas",
    "pillow",
)
MODEL = (
    "model",
    "name",
    "pretrained",
    "parameters",
    "weights_sha256",
    "preprocessing",
    "precision",
    "cosine_to_float32",
    "dtype",
)


def processor() -> str:
    """What decides how sums are rounded: the architecture, and what the libraries use on it.

    That is the vector instructions that PyTorch and NumPy have found, and the kernels of BLAS,
    which may be the same where those are not (OPENBLAS_CORETYPE sets them).
    """
    vectors = numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    kernels = {str(one["architecture"]) for one in threadpool_info() if "architecture" in one}
    capability = torch.backends.cpu.get_cpu_capability()
    return " ".join([platform.machine(), capability, *vectors, *sorted(kernels)])


def provenance(
    *,
    model: Mapping[str, Any],
    fingerprint: str,
    seed: int,
    inputs: Mapping[str, str],
) -> dict[str, Any]:
    """Everything needed to repeat or to doubt a report, as JSON."""
    return {
        "dataset": {"fingerprint": fingerprint},
        "model": {key: model[key] for key in MODEL},
        "device": model["device"],
        "processor": processor(),
        "seeds": {"seed": seed},
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "dvc_lock": dict(inputs),
    }
