"""Where a report comes from."""

import os
import platform
import subprocess
import sys

import pytest

from audits.report.provenance import processor


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
