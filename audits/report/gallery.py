"""Thumbnails inside the page, within a budget of bytes."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from PIL import Image

from audits.maps.veil import Maps, Veil
from pipeline.datasets.files import read_bytes
from pipeline.datasets.pixels import Reading, Unusable, decode
from pipeline.places import Place

QUALITY = 80
# With text, charts and tables on top, the page stays near 3 MB, which mail and MLflow take well.
BUDGET_BYTES = 2_400_000


@dataclass(frozen=True)
class Thumbnail:
    """One picture of a gallery."""

    uri: str
    """The JPEG as a `data:` URI."""
    image_id: str
    label: str
    """Name of the class the picture is labelled with, "no label" where it has none."""
    size: tuple[int, int]
    """Width and height, pixels."""
    veil: Veil | None = None
    """Over all but where a component fires."""


def thumbnail(content: bytes, reading: Reading, edge: int) -> Image.Image:
    """A picture, scaled down to fit edge × edge pixels.

    Raises:
        Unusable: the bytes are no image, or a damaged one.
    """
    small = decode(content, reading, edge).rgb
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return small


def jpeg_uri(picture: Image.Image) -> str:
    """A picture as the `data:` URI of a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


class Gallery:
    """Thumbnails by image id; counts the bytes it has handed out."""

    def __init__(
        self,
        manifest: pd.DataFrame,
        root: Place,
        reading: Reading,
        names: dict[str, str],
        edge: int,
        maps: Maps | None = None,
    ) -> None:
        """
        Args:
            manifest: columns `image_id`, `path` (relative to root) and `label`.
            root: folder of the raw dataset.
            reading: how its files' pixels are taken.
            names: see `distinct_names`.
            edge: longest side of a thumbnail, pixels.
            maps: of components; None where there are none.
        """
        self._paths = dict(zip(manifest["image_id"], manifest["path"], strict=True))
        self._labels = dict(zip(manifest["image_id"], manifest["label"], strict=True))
        self._of_class = {
            str(label): sorted(ids) for label, ids in manifest.groupby("label")["image_id"]
        }
        self._root, self._reading, self._names, self._edge = root, reading, names, edge
        self._maps = maps
        self._made: dict[str, Thumbnail] = {}
        self.spent = 0

    @property
    def full(self) -> bool:
        """Whether the budget is used up."""
        return self.spent >= BUDGET_BYTES

    def images(
        self, image_ids: Sequence[str], count: int, component: int | None = None
    ) -> list[Thumbnail]:
        """Thumbnails of the first `count` of these images.

        With a map each, where there is one, if they are of a component.

        Raises:
            ValueError: the manifest has no such image.
            FileNotFoundError: an image of the manifest is not on the disk any more, or no image.
        """
        thumbnails = [self._thumbnail(image_id) for image_id in image_ids[:count]]
        self.spent += sum(len(thumbnail.uri) for thumbnail in thumbnails)
        if self._maps is None or component is None:
            return thumbnails
        return [
            replace(one, veil=self._maps.veil(one.image_id, component, one.size))
            for one in thumbnails
        ]

    def of_class(self, label: str, count: int) -> list[Thumbnail]:
        """Thumbnails of `count` images of a class, spread evenly over its ids in order."""
        ids = self._of_class.get(label, [])
        chosen = ids if len(ids) <= count else [ids[i * len(ids) // count] for i in range(count)]
        return self.images(chosen, count)

    def label_of(self, image_id: str) -> str:
        """Name of an image's class, "no label" where it has none."""
        label = self._labels[image_id]
        return self._names[label] if isinstance(label, str) else "no label"

    def _thumbnail(self, image_id: str) -> Thumbnail:
        if image_id not in self._made:
            if image_id not in self._paths:
                raise ValueError(
                    f"image {image_id!r} is not in the manifest: the audit is older than it, "
                    "run `dvc repro`"
                )
            try:
                content = read_bytes(self._root, self._paths[image_id])
                small = thumbnail(content, self._reading, self._edge)
            except ConnectionError:  # which is no image's fault
                raise
            except (OSError, Unusable) as error:
                state = "missing" if isinstance(error, OSError) else "unusable"
                raise FileNotFoundError(
                    f"{self._root / self._paths[image_id]} is {state} though the manifest lists it "
                    f"({error}): restore the dataset or run `dvc repro prepare` to leave it out"
                ) from error
            self._made[image_id] = Thumbnail(
                jpeg_uri(small), image_id, self.label_of(image_id), small.size
            )
        return self._made[image_id]
