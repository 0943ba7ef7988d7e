"""Where a report comes from: inputs, weights, versions, seeds.

Nothing of the run, such as time or commit: a clone that makes the report anew on the same kind of
processor gets the same bytes. The code is that of the commit that holds the report, which its run
in MLflow has as a tag.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import PurePath
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


def lock_hashes(lock: Mapping[str, Any], paths: Sequence[str]) -> dict[str, str]:
    """Hashes of the outputs of stages that some paths are, or lie in.

    Of these only, and not of what they were made from: a report is not made anew where that changed
    and these did not. `dvc.lock` of the same commit has the rest.

    Args:
        lock: content of `dvc.lock`.
        paths: files read, relative to the repository's root.

    Returns:
        path of the output → hash.
    """
    read = [PurePath(path) for path in paths]
    return {
        out["path"]: str(out[out.get("hash", "md5")])
        for stage in lock["stages"].values()
        for out in stage.get("outs", [])
        if out.get("hash", "md5") in out and any(path.is_relative_to(out["path"]) for path in read)
    }


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
