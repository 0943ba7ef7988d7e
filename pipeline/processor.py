"""How numerical libraries use the processor: with the same results on every kind of x86.

A sum is rounded otherwise with the wider vectors of AVX-512, and a CLIP trained from such sums is
another one. So on a processor that has them the libraries are told to do without.
"""

import os
import platform
from pathlib import Path

INSTRUCTIONS = "CLIP_AUDIT_INSTRUCTIONS"
"""Environment variable: `native` leaves all that the processor has to the libraries."""

AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""What PyTorch, oneDNN, MKL and OpenBLAS read when they are loaded."""

BEYOND = {"X86_V4": "avx512f", "AVX512_ICL": "avx512_vbmi2", "AVX512_SPR": "avx512_fp16"}
"""What NumPy would use beyond AVX2, and the processor's flag that it needs. NumPy warns of one that
is to be left out and is not there."""

CPUINFO = Path("/proc/cpuinfo")


def settle() -> None:
    """Settle for libraries that are not loaded yet how they compute; what is set already stays."""
    # Threads that wait for each other sleep: spinning ones waste a core that other work could use.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if os.environ.get(INSTRUCTIONS) != "native":
        for variable, value in alike(flags()).items():
            os.environ.setdefault(variable, value)


def alike(flags: set[str]) -> dict[str, str]:
    """Variables by which libraries compute as on a processor with AVX2; none where they do anyway.

    >>> alike({"sse2", "avx2"})
    {}
    """
    if "avx512f" not in flags or platform.machine() not in ("x86_64", "AMD64"):
        return {}
    beyond = [name for name, flag in BEYOND.items() if flag in flags]
    return {"NPY_DISABLE_CPU_FEATURES": " ".join(beyond)} | AVX2


def flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """What the processor can do, by Linux; nothing on other systems, which have no such file."""
    try:
        with cpuinfo.open() as lines:
            return set(next((line for line in lines if line.startswith("flags")), "").split())
    except OSError:
        return set()
