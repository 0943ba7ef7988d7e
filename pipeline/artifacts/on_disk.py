"""Arrays whose rows lie in a file and come into memory when they are asked for.

What there is of every image is more than fits in memory once there are millions. A stage that takes
the images class by class, or a few of them, reads just those.
"""

import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import torch
from torch import Tensor

from pipeline.artifacts.store import CLOSED, FULL, remedied


class OnDisk:
    """A matrix [n, d] of zeros, until rows are set, in a file that goes with the process."""

    def __init__(self, folder: Path, shape: tuple[int, int], dtype: np.dtype) -> None:
        """
        Args:
            folder: where the file lies; it has no name there.
            shape: n and d.
            dtype: of the numbers.

        Raises:
            OSError: the disk may not be written; the message says what to do.
        """
        self.shape, self._folder = shape, folder
        self._dtype = np.dtype(dtype)
        with remedied(folder, FULL | CLOSED):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            self._file.truncate(shape[0] * self._row)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor | np.ndarray | slice) -> Tensor:
        """Rows [r, d] by positions [r], a mask [n] or a slice, as of a tensor."""
        wanted = self._positions(rows)
        found = np.empty((len(wanted), self.shape[1]), self._dtype)
        for row, part in self._runs(wanted, found):
            self._file.seek(row * self._row)
            while part:  # a single call moves 2 GiB at most
                part = part[self._file.readinto(part) :]
        return torch.from_numpy(found)

    def __setitem__(self, rows: Tensor | np.ndarray | slice, values: Tensor | np.ndarray) -> None:
        """Put rows [r, d] in their places.

        Raises:
            OSError: the disk is full; the message says what to do.
        """
        given = np.ascontiguousarray(values, self._dtype)
        with remedied(self._folder, FULL):
            for row, part in self._runs(self._positions(rows), given):
                self._file.seek(row * self._row)
                while part:
                    part = part[self._file.write(part) :]

    @property
    def _row(self) -> int:
        return self.shape[1] * self._dtype.itemsize

    def _positions(self, rows: Tensor | np.ndarray | slice) -> np.ndarray:
        """Rising or not, but none that is not there."""
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        wanted = np.asarray(rows)
        if wanted.dtype == bool:
            if len(wanted) != len(self):
                raise IndexError(f"a mask of {len(wanted)} rows of {len(self)}")
            return np.flatnonzero(wanted)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {len(self)}")
        return wanted

    def _runs(self, wanted: np.ndarray, values: np.ndarray) -> Iterator[tuple[int, memoryview]]:
        """First row and bytes of all rows that lie side by side in both."""
        if not values.size:
            return
        edges = [0, *(np.flatnonzero(np.diff(wanted) != 1) + 1).tolist(), len(wanted)]
        whole = values.data.cast("B")
        for begin, end in pairwise(edges):
            yield int(wanted[begin]), whole[begin * self._row : end * self._row]
