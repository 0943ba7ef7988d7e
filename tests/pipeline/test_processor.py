"""The same instructions on every kind of x86."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.processor import AVX2, INSTRUCTIONS, alike, flags

SHOW = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
import numpy, torch
found = numpy.show_config(mode="dicts")["SIMD Extensions"]["found"]
print(torch.backends.cpu.get_cpu_capability(), *found)
"""


def shown(package: str, **environment: str) -> list[str]:
    """What PyTorch and NumPy use once a package has been imported."""
    ours = {*AVX2, "NPY_DISABLE_CPU_FEATURES", INSTRUCTIONS}
    kept = {key: value for key, value in os.environ.items() if key not in ours}
    command = [sys.executable, "-W", "error", "-c", SHOW, package]
    its = kept | environment
    return subprocess.run(
        command, env=its, check=True, capture_output=True, text=True
    ).stdout.split()


wide = pytest.mark.skipif(not alike(flags()), reason="a processor without AVX-512")


@wide
@pytest.mark.parametrize("package", ["pipeline.layout", "audits.names"])
def test_a_processor_with_avx512_computes_as_one_without(package):
    assert shown(package) == ["AVX2", "X86_V3"]


@wide
def test_whoever_wants_all_that_the_processor_has_says_so():
    assert "X86_V4" in shown("pipeline", CLIP_AUDIT_INSTRUCTIONS="native")


@wide
def test_what_is_set_stays():
    assert shown("pipeline", ATEN_CPU_CAPABILITY="avx512")[0] == "AVX512"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86")
def test_only_what_is_there_is_left_out(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vbmi2\n\nprocessor\t: 1\n"
    )
    assert alike(flags(cpuinfo))["NPY_DISABLE_CPU_FEATURES"] == "X86_V4 AVX512_ICL"
    cpuinfo.write_text("flags\t\t: fpu avx2\n")
    assert alike(flags(cpuinfo)) == {}
    assert flags(tmp_path / "none") == set()
