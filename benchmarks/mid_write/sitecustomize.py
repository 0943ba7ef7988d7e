"""Kills a stage and the `dvc repro` that runs it in the middle of a write of its.

Python imports a module of this name before anything else where its folder is on PYTHONPATH.
CLIP_AUDIT_DIES is the stage's module and the number of the write, counted from 1, of Parquet and
safetensors: of what is written, half is there, and all processes of the session are killed.
"""

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

module, _, write = os.environ.get("CLIP_AUDIT_DIES", "").partition(" ")

if module and sys.orig_argv[1:3] == ["-m", module]:
    import pyarrow.parquet as pq
    import safetensors.numpy
    import safetensors.torch

    numbers = count(1)

    def dying(written: Callable[..., Any], path_of: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> None:
            written(*args, **kwargs)
            if next(numbers) == int(write):
                path = Path(path_of(*args))
                os.truncate(path, path.stat().st_size // 2)
                os.killpg(0, signal.SIGKILL)

        return call

    opened, close = pq.ParquetWriter.__init__, pq.ParquetWriter.close

    def remember(self: Any, where: Any, *args: Any, **kwargs: Any) -> None:
        self.clip_audit_path = where
        opened(self, where, *args, **kwargs)

    pq.ParquetWriter.__init__ = remember
    pq.ParquetWriter.close = dying(close, lambda writer: writer.clip_audit_path)
    kinds: tuple[Any, ...] = (safetensors.torch, safetensors.numpy)
    for kind in kinds:
        kind.save_file = dying(kind.save_file, lambda tensors, path, *_: path)
