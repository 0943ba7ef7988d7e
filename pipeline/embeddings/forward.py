"""Images through a model: on which device, in which precision, in batches that fit."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms import Compose, Normalize

from pipeline.artifacts.stage import pick_device
from pipeline.config import EmbedConfig
from pipeline.embeddings.images import to_bytes
from pipeline.models.catalog import Clip, image_tower
from pipeline.models.memory import Fitting

SAFE_COSINE = 0.9999
"""Least cosine to float32 at which `precision: auto` takes half precision."""
DEVICE = "device of these embeddings"
HALF = (torch.float16, torch.bfloat16)
"""Half precisions that `auto` tries, the finer one first."""


class Ran(NamedTuple):
    """How a model ran, for the records."""

    device: str
    precision: str
    cosine_to_float32: float
    """Least over the first images' vectors; 1 where the precision is float32."""


def decoders(config: EmbedConfig) -> int:
    """Processes that decode images, of `workers`.

    Raises:
        ValueError: the machine has no such device.
    """
    if config.workers != "auto":
        return config.workers
    alone = pick_device(config.device, DEVICE) != "cpu"  # the model leaves the cores alone
    return os.cpu_count() or 1 if alone else 0


def split_preprocess(clip: Clip) -> tuple[Callable[[Image.Image], Tensor], Normalize]:
    """A model's preprocessing in two: what works on one image, and what can work on a batch.

    Returns:
        Image to uint8 [h, w, 3], and the normalisation that the rest of the preprocessing does.

    Raises:
        ValueError: the preprocessing does not end in ToTensor and Normalize.
    """
    steps = clip.preprocess.transforms  # type: ignore[attr-defined]
    *geometry, to_tensor, normalize = steps
    if "ToTensor" not in type(to_tensor).__name__ or not isinstance(normalize, Normalize):
        raise ValueError(f"preprocessing {steps} does not end in ToTensor and Normalize")
    return Compose([*geometry, to_bytes]), normalize


@torch.inference_mode()
def all_tokens(model: Any, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n t d"]:
    """Tokens of each image after the last block, before ln_post: class token, then the grid's.

    The grid's by rows from the top left; all on the model's device.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
    """
    last = image_tower(model).forward_intermediates(
        pixels,
        indices=1,
        intermediates_only=True,
        output_fmt="NLC",
        output_extra_tokens=True,
    )
    return torch.cat([last["image_intermediates_prefix"][0], last["image_intermediates"][0]], dim=1)


class Forward:
    """Vectors of images, from their pixels as uint8."""

    def __init__(
        self,
        clip: Clip,
        embed: Callable[[Any, Tensor], Tensor],
        normalize: Normalize,
        config: EmbedConfig,
        first: UInt8[Tensor, "n h w 3"],
    ) -> None:
        """
        Args:
            clip: the model; it is moved to the device.
            embed: (model, pixels [n, 3, h, w] on its device) to a vector [d] or tokens [t, d] of
                each image.
            normalize: the second half of `split_preprocess`.
            config: device, precision and batch size.
            first: images to settle the precision on; a later run that goes on with the work has to
                give the same ones.
        """
        self.device = torch.device(pick_device(config.device, DEVICE))
        # Else convolutions on CUDA round to ten bits in what is called float32.
        torch.backends.cudnn.allow_tf32 = False
        self.model = clip.model.to(self.device)
        self.embed = embed
        self.fitting = Fitting(config.batch_size)
        shape = (1, 3, 1, 1)
        self.mean = torch.tensor(normalize.mean, device=self.device).view(shape)
        self.std = torch.tensor(normalize.std, device=self.device).view(shape)
        self.dtype, self.cosine = self._settle(config.precision, first)

    def __call__(
        self, pixels: UInt8[Tensor, "n h w 3"], kept: Int[Tensor, "n s"] | None = None
    ) -> Float[Tensor, "n *tokens d"]:
        """Vectors of a batch, on the CPU; the batch is halved where the device's memory is short.

        Args:
            pixels: of the images.
            kept: where `embed` gives tokens, those of each image that come back from the device;
                None for all.

        Raises:
            RuntimeError: a vector is not finite.
        """
        vectors = self._in_parts(pixels, self.dtype, kept)
        if not vectors.isfinite().all():
            raise RuntimeError(
                f"the model's output in {self.ran().precision} is not finite: set "
                "precision of these embeddings to float32"
            )
        return vectors

    @torch.inference_mode()
    def normalized(self, pixels: UInt8[Tensor, "n h w 3"]) -> Float[Tensor, "n 3 h w"]:
        """What the model sees, on its device."""
        # Of pinned memory the copy waits for nothing; no other kind is safe on every device.
        there = pixels.to(self.device, non_blocking=self.device.type == "cuda")
        there = there.permute(0, 3, 1, 2)
        # The steps of ToTensor and Normalize, in their order, so that the bits are theirs.
        scaled = there.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        return scaled.sub_(self.mean).div_(self.std)

    def ran(self) -> Ran:
        """How it runs."""
        return Ran(str(self.device), str(self.dtype).removeprefix("torch."), self.cosine)

    def _settle(self, wanted: str, first: Tensor) -> tuple[torch.dtype, float]:
        """The precision, and its least cosine to float32."""
        auto = wanted == "auto"
        tried: tuple[torch.dtype, ...] = HALF if auto and self.device.type == "cuda" else ()
        if not auto and wanted != "float32":
            tried = (getattr(torch, wanted),)
        least = SAFE_COSINE if auto else -1.0
        exact = self._in_parts(first, torch.float32) if tried else first
        for dtype in tried:
            cosine = torch.cosine_similarity(self._in_parts(first, dtype), exact, dim=-1).min()
            if cosine >= least:  # never where it is NaN
                return dtype, float(cosine)
        if wanted not in ("auto", "float32"):
            raise ValueError(f"the model's output in {wanted} is not a number: set it to float32")
        return torch.float32, 1.0

    def _in_parts(self, pixels: Tensor, dtype: torch.dtype, kept: Tensor | None = None) -> Tensor:
        """Vectors, of as many images at a time as the device's memory holds."""

        def vectors(rows: slice) -> Tensor:
            return self._vectors(pixels[rows], dtype, None if kept is None else kept[rows])

        return torch.cat(self.fitting.parts(vectors, len(pixels)))

    @torch.inference_mode()
    def _vectors(self, pixels: Tensor, dtype: torch.dtype, kept: Tensor | None) -> Tensor:
        half = dtype != torch.float32
        with torch.autocast(self.device.type, dtype) if half else nullcontext():
            vectors = self.embed(self.model, self.normalized(pixels))
        if kept is not None:
            rows = torch.arange(len(vectors), device=self.device)[:, None]
            vectors = vectors[rows, kept.to(self.device)]
        return vectors.float().cpu()
