"""Shifted images: measured, and through a model, a batch a shard."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from upath import UPath

from pipeline.config import SURROUNDINGS, EmbedConfig
from pipeline.datasets.pixels import Reading
from pipeline.embeddings.forward import Forward, Ran, decoders, split_preprocess
from pipeline.embeddings.images import Ahead, Batch, Part, batches, joined
from pipeline.embeddings.masks import objects
from pipeline.embeddings.shifts import alone, covered, shifted, statistics, surrounding_colour
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.models.catalog import Clip, class_tokens
from pipeline.places import Place


class Pictures(NamedTuple):
    """How images are decoded."""

    root: Place
    """The dataset's folder."""
    reading: Reading
    mask: str | None
    """Where their objects are, of `shortcut.mask`."""
    pixels_of: Callable[[Image.Image], Tensor]
    config: EmbedConfig
    ahead: Ahead | None
    """What decodes in place of this machine's processes, where no processor is the model's."""

    def batches(self, parts: Sequence[Part], workers: int, progress: str) -> Iterator[Batch]:
        """The images of each part."""
        images, rows = joined(parts)
        how = (self.root, self.reading, self.pixels_of, rows, workers, progress)
        return batches(images, *how, ahead=self.ahead)

    def objects_of(self, batch: Batch) -> Bool[Tensor, "n h w"]:
        """Where the objects are in a batch."""
        return objects(batch.pixels, batch.image_ids, self.root, str(self.mask), self.pixels_of)


class Measured(NamedTuple):
    """What train images are like."""

    found: Float[Tensor, "n s"]
    """Their `statistics`."""
    around: Float[Tensor, "n 3"] | None
    """Mean colour of their surroundings, None without masks."""


class Measurer:
    """Statistics of train images, a batch a unit."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def about(self) -> None:
        """Nothing."""

    def each(self, units: Iterable[Part]) -> Iterator[Measured]:
        """Statistics of each batch."""
        pictures = self.pictures
        # On a cluster no model leaves processors alone here.
        workers = decoders(pictures.config) if pictures.ahead is None else 0
        for batch in pictures.batches(list(units), workers, "statistics"):
            around = None
            if pictures.mask is not None:
                around = surrounding_colour(batch.pixels, pictures.objects_of(batch))
            yield Measured(statistics(batch.pixels), around)


def views(
    pixels: UInt8[Tensor, "n h w 3"],
    moved: Mapping[str, tuple[str, float]],
    there: Bool[Tensor, "n h w"] | None,
    on_surroundings: Mapping[str, str],
    usual: Float[Tensor, " 3"] | None,
) -> Iterator[tuple[str, UInt8[Tensor, "n h w 3"]]]:
    """Each shift with the pictures under it, and where masks are also of the surroundings alone and
    with a part covered.

    Args:
        pixels: the pictures as they are.
        moved: of `amounts`.
        there: where their objects are, None without masks.
        on_surroundings: shift → its name where it acts on the surroundings alone.
        usual: mean colour of the train images' surroundings, None without masks.
    """
    for name, shift in moved.items():
        whole = shifted(pixels, *shift)
        yield name, whole
        if there is not None and name in on_surroundings:
            yield on_surroundings[name], alone(pixels, whole, there)
    if there is not None and usual is not None:
        yield from covered(pixels, there, usual).items()


class Perturber:
    """Shards of shifted images, a batch each."""

    def __init__(
        self,
        pictures: Pictures,
        clip: Clip,
        first: Tensor,
        moved: Mapping[str, tuple[str, float]],
        on_surroundings: Mapping[str, str],
        usual: Float[Tensor, " 3"] | None,
        store: UPath | None,
    ) -> None:
        """
        Args:
            pictures: how images are decoded.
            clip: the model.
            first: pixels of the first few images, of `first_pixels`.
            moved: of `amounts`.
            on_surroundings: as of `views`.
            usual: likewise.
            store: where shards are to lie, see `shards.written`.
        """
        _, normalize = split_preprocess(clip)
        self.forward = Forward(clip, class_tokens, normalize, pictures.config, first)
        self.pictures = pictures
        self.shifts = (moved, on_surroundings, usual)
        self.store = store

    def about(self) -> Ran:
        """How the model runs."""
        return self.forward.ran()

    def each(self, units: Iterable[tuple[Part, Path]]) -> Iterator[int]:
        """Write shards into their folder; the number of each."""
        moved, on_surroundings, usual = self.shifts
        pictures, todo = self.pictures, list(units)
        if not todo:
            return
        taken = pictures.ahead is not None and self.forward.device.type == "cpu"
        workers = 0 if taken else decoders(pictures.config)
        stream = pictures.batches([part for part, _ in todo], workers, "perturb")
        for (part, folder), batch in zip(todo, stream, strict=True):
            there = None if usual is None else pictures.objects_of(batch)
            columns = {"statistics": statistics(batch.pixels).numpy()}
            if there is not None:
                columns[SURROUNDINGS] = statistics(batch.pixels, ~there).numpy()
            for name, pixels in views(batch.pixels, moved, there, on_surroundings, usual):
                columns[name] = self.forward(pixels).numpy()
            shard = vector_table(batch.image_ids, columns)
            write_vectors(folder, part.number, [shard], self.store)
            yield part.number
