"""Where a report comes from."""

import os
import platform
import subprocess
import sys

import pytest

from audits.report.provenance import lock_hashes, processor


def test_lock_hashes_are_of_what_was_read_and_not_of_what_made_it() -> None:
    lock = {
        "stages": {
            "prepare": {"outs": [{"path": "data/m", "hash": "md5", "md5": "1.dir"}]},
            "embed": {
                "deps": [{"path": "data/m/manifest.parquet", "md5": "2"}],
                "outs": [{"path": "data/x", "md5": "3"}, {"path": "data/h", "md5": "5"}],
            },
            "other": {
                "deps": [{"path": "data/x", "md5": "3"}],
                "outs": [{"path": "data/xy", "md5": "4"}, {"path": "data/labels.csv", "md5": "6"}],
            },
        }
    }
    read = ["data/x/model.json", "data/labels.csv"]
    assert lock_hashes(lock, read) == {"data/x": "3", "data/labels.csv": "6"}


def test_the_processor_is_named_by_what_decides_rounding() -> None:
    assert processor().split()[0] == platform.machine()


def named_with(**environment: str) -> str:
    """The processor's name in a process of its own, for libraries look at theirs once."""
    code = "from audits.report.provenance import processor; print(processor())"
    command, its = [sys.executable, "-c", code], os.environ | environment
    return subprocess.run(command, env=its, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="variables of x86")
def test_processors_with_other_vector_instructions_have_other_names_though_blas_is_alike() -> None:
    named = {
        named_with(OPENBLAS_CORETYPE="Haswell"),
        named_with(OPENBLAS_CORETYPE="Haswell", ATEN_CPU_CAPABILITY="default"),
        named_with(OPENBLAS_CORETYPE="Haswell", NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4"),
    }
    assert len(named) == 3
