"""Images of a manifest, decoded and preprocessed in parallel."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm


class Batch(NamedTuple):
    """Preprocessed images and where they stand in the manifest."""

    image_ids: list[str]
    pixels: Tensor
    """[n, 3, h, w]."""


class _Images(Dataset[Tensor]):
    def __init__(self, paths: list[Path], preprocess: Callable[[Image.Image], Tensor]) -> None:
        self.paths = paths
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                return self.preprocess(image.convert("RGB"))
        except OSError as error:
            raise OSError(
                f"{path}: {error}. The image was readable when the manifest was made: run "
                "`dvc repro prepare` to make it anew"
            ) from error


def batches(
    images: pd.DataFrame,
    root: Path,
    preprocess: Callable[[Image.Image], Tensor],
    batch_size: int,
    workers: int,
    progress: str,
) -> Iterator[Batch]:
    """Batches of a manifest's images in its order, decoded by worker processes.

    Raises:
        OSError: an image of the manifest is missing or no longer readable; it names the file.
    """
    dataset = _Images([root / path for path in images["path"]], preprocess)
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=workers, shuffle=False)
    ids = images["image_id"].tolist()
    done = 0
    with tqdm(total=len(ids), desc=progress, unit="image") as bar:
        for pixels in loader:
            yield Batch(ids[done : done + len(pixels)], pixels)
            done += len(pixels)
            bar.update(len(pixels))


def red_shifted(
    preprocess: Callable[[Image.Image], Tensor], delta: float
) -> Callable[[Image.Image], Tensor]:
    """Preprocessing after red' = clamp(red (1 − delta), 0, 1) of the image (paper, Eq. 32)."""
    return _RedShift(preprocess, delta)


class _RedShift:
    # A class, not a closure: worker processes receive it whole.
    def __init__(self, preprocess: Callable[[Image.Image], Tensor], delta: float) -> None:
        self.preprocess = preprocess
        self.table = [min(255, max(0, round(v * (1 - delta)))) for v in range(256)]

    def __call__(self, image: Image.Image) -> Tensor:
        red, green, blue = image.split()
        return self.preprocess(Image.merge("RGB", (red.point(self.table), green, blue)))
