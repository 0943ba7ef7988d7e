"""An SAE while it learns: its parameters, how it selects components, and its loss."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipeline.config import SaeConfig
from pipeline.models.memory import Fitting
from pipeline.sae.largest import largest
from pipeline.sae.model import Sae
from pipeline.sae.sparse import (
    Bags,
    Grouped,
    bags,
    decode,
    grouped,
    selected,
    slot_products,
    weighted_sum,
)

SLOTS = 4
"""BatchTopK gives an image at most this many times k components."""
NOWHERE = 1e-6
"""Length up to which a direction is none, for tokens of mean square length 1."""
MARGIN = 8
"""Further components of a token that a rounded product proposes. The 64 largest of 30,000 random
directions are among the 66 largest after rounding to TF32, in all of 512 tokens."""
MOMENTUM = 0.9
"""Of the moving average that estimates BatchTopK's threshold, a step."""


class Frame(NamedTuple):
    """Coordinates in which an SAE learns: (x − mean) / scale, folded back at the end."""

    mean: Float[Tensor, " d"]
    scale: float
    """Root mean square length of the training data in these coordinates, in units of x."""
    spread: float
    """Root mean square distance of the training data to their mean, in units of x."""


class Step(NamedTuple):
    """What a forward pass leaves behind."""

    loss: Float[Tensor, ""]
    fired: Bool[Tensor, " m"]
    """Components that were active on some token."""
    threshold: Float[Tensor, ""]
    """Activations above it were kept, in units of `Frame.scale`."""


Gather = Callable[[Float[Tensor, "n s"]], Float[Tensor, " v"]]
"""Brings the values of all devices together."""


def rounds(device: torch.device) -> bool:
    """Whether the product of all tokens and components is rounded to TF32: float32 takes eight
    times as long there. It then only proposes components, and float32 decides."""
    return device.type == "cuda"


def alone(value: Float[Tensor, "n s"]) -> Float[Tensor, " v"]:
    """The values of the only device."""
    return value.flatten()


class Trainee(nn.Module):
    """A top-k, BatchTopK or Matryoshka SAE in training.

    Atoms start as random directions, or where `start_at` puts them. The encoder starts as the atoms
    where `encoder_init` is transpose, so that training starts at matching pursuit's first step
    instead of at noise.
    """

    frame_mean: Tensor
    idle: Tensor
    """Images [m] since a component fired."""
    threshold: Tensor
    """Moving average of BatchTopK's threshold; NaN before the first step."""
    ends: Tensor
    """Numbers of components of all prefixes but the whole."""

    def __init__(self, config: SaeConfig, frame: Frame, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.scale = frame.scale
        self.variance = frame.spread**2
        self.register_buffer("frame_mean", frame.mean)
        self.register_buffer("idle", torch.zeros(config.components))
        self.register_buffer("threshold", torch.tensor(float("nan")))
        ends = torch.tensor(self._prefixes[:-1], dtype=torch.long)
        self.register_buffer("ends", ends, persistent=False)
        self._size = size = (config.components, len(frame.mean))
        atoms = _unit(torch.randn(size, generator=generator))
        encoder = atoms
        if config.encoder_init == "random":
            encoder = _unit(torch.randn(size, generator=generator))
        self.atoms = nn.Parameter(atoms)
        self.bias = nn.Parameter(torch.zeros(size[1]))
        self.encoder_weight = nn.Parameter(encoder.clone())
        self.encoder_bias = nn.Parameter(torch.zeros(size[0]))
        self._dense = torch.empty(0)
        self._fitting = Fitting(sys.maxsize)

    def forward(
        self,
        x: Float[Tensor, "n d"],
        weight: Float[Tensor, " n"],
        dead: Bool[Tensor, " m"],
        gather: Gather = alone,
    ) -> Step:
        """Loss of some tokens.

        Args:
            x: tokens.
            weight: of each token in the loss; the sum over all devices is 1.
            dead: components that AuxK is to revive.
            gather: how values of all devices come together.
        """
        framed = (x - self.frame_mean) / self.scale
        choose: Callable[..., tuple[Tensor, ...]] = self.strongest
        if self.config.auxk and bool(dead.any()):
            choose = partial(self._strongest_and_dead, torch.nonzero(dead).flatten())
        value, component, *of_dead = self._chosen(framed, choose)
        within = None
        if len(self._prefixes) > 1:
            value, component, within = self._by_prefix(value, component)
        by = grouped(component, self.config.components)
        threshold = self._threshold(value, gather)
        value = selected(framed, self.encoder_weight, self.encoder_bias, value, by)
        activation = torch.where(value > threshold, value, 0.0)
        loss = x.new_zeros(())
        framed_hat = x.new_zeros(())
        for framed_hat in self._reconstructions(activation, component, by, within):
            x_hat = framed_hat * self.scale + self.frame_mean
            loss = loss + (weight * self._losses(x, x_hat)).sum()
        loss = loss / len(self._prefixes)
        if of_dead:
            residual = (framed - framed_hat).detach()
            loss = loss + self.config.auxk * self._auxk(framed, residual, weight, *of_dead)
        # Nothing here asks the device for a number, as an index by booleans would.
        spare = len(dead)
        place = torch.where(activation > 0, component, spare).flatten()
        fired = dead.new_zeros(spare + 1).index_fill_(0, place, True)[:spare]
        return Step(loss, fired, threshold.detach())

    @torch.no_grad()
    def pre_activations(self, framed: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Of tokens in the frame, rounded where `rounds` says so; the next call overwrites them."""
        # Fresh memory for [n, m] in every step costs more than half as much as the product.
        size = (len(framed), self.config.components)
        if self._dense.shape != size or self._dense.device != framed.device:
            self._dense = torch.empty(0)  # so that there are never two
            self._dense = framed.new_empty(size)
        cuda = torch.backends.cuda.matmul
        before, cuda.fp32_precision = cuda.fp32_precision, "tf32"
        try:
            return torch.addmm(self.encoder_bias, framed, self.encoder_weight.T, out=self._dense)
        finally:
            cuda.fp32_precision = before

    @torch.no_grad()
    def strongest(
        self, framed: Float[Tensor, "n d"], dense: Float[Tensor, "n m"]
    ) -> tuple[Float[Tensor, "n s"], Int[Tensor, "n s"]]:
        """Values and components, in no order, of the largest pre-activations, in float32.

        Args:
            framed: tokens in the frame.
            dense: their pre-activations, of which more than asked for are computed again where they
                are rounded.
        """
        if not rounds(framed.device):
            value, component = dense.topk(self._slots, dim=-1, sorted=False)
            return value, component
        count = min(self._slots + MARGIN, self.config.components)
        proposed = largest(dense, count)
        value, place = self._exactly(framed, proposed).topk(self._slots, dim=-1, sorted=False)
        return value, proposed.gather(1, place)

    @torch.no_grad()
    def start_at(self, directions: Float[Tensor, "c d"], tokens: Iterable[Tensor]) -> None:
        """Make the first atoms these directions; where `encoder_init` is transpose, encoders too.

        Atoms that resemble each other fire together and would rebuild an image several times over,
        so all encoders are shortened by the one factor Σ x·x̂ / Σ ‖x̂‖² that rebuilds some tokens
        best. A direction of length 0 leaves the atom as it is.

        Args:
            directions: in the frame, of any length, at most as many as there are atoms.
            tokens: in the frame, by batches.
        """
        length = directions.norm(dim=1, keepdim=True)
        first = self.atoms[: len(directions)]
        first.copy_(torch.where(length > NOWHERE, directions / length, first))
        if self.config.encoder_init == "random":
            return
        self.encoder_weight.copy_(self.atoms)
        along, squares, k = 0.0, 0.0, self.config.k
        for framed in tokens:
            value, component = self._chosen(framed, lambda _, dense: dense.topk(k, dim=-1))
            framed_hat = weighted_sum(self.atoms, component, value.clamp_min(0))
            along += float((framed * framed_hat).sum())
            squares += float(framed_hat.square().sum())
        if squares:
            self.encoder_weight.mul_(along / squares)

    @property
    def _slots(self) -> int:
        slots = SLOTS * self.config.k if self.config.kind == "batch_topk" else self.config.k
        return min(slots, self.config.components)

    @property
    def _prefixes(self) -> list[int]:
        """Numbers of first components that a reconstruction may use, in turn."""
        m = self.config.components
        if self.config.kind != "matryoshka":
            return [m]
        return [max(1, round(share * m)) for share in self.config.prefixes] + [m]

    @torch.no_grad()
    def _chosen(self, framed: Tensor, choose: Callable[..., tuple[Tensor, ...]]) -> list[Tensor]:
        """What `choose` makes of tokens and their pre-activations.

        Of fewer tokens at a time where the device's memory is short: the pre-activations, which are
        gone afterwards, are most of what grows with the batch.
        """

        def of(rows: slice) -> tuple[Tensor, ...]:
            return choose(framed[rows], self.pre_activations(framed[rows]))

        # A device that shares a batch with others may get none of it.
        parts = self._fitting.parts(of, len(framed)) or [of(slice(0))]
        columns = zip(*parts, strict=True)
        return [torch.cat(column) if len(parts) > 1 else column[0] for column in columns]

    def _strongest_and_dead(
        self, dead: Tensor, framed: Tensor, dense: Tensor
    ) -> tuple[Tensor, ...]:
        """What `strongest` gives, and the same of the components that are dead."""
        count = min(self.config.auxk_k, len(dead))
        value, place = dense[:, dead].topk(count, dim=-1, sorted=False)
        component = dead[place]
        if rounds(framed.device):
            value = self._exactly(framed, component)
        return *self.strongest(framed, dense), value, component

    @torch.no_grad()
    def _exactly(self, framed: Tensor, component: Tensor) -> Tensor:
        """Pre-activations in float32."""
        return slot_products(self.encoder_weight, component, framed) + self.encoder_bias[component]

    def _threshold(self, value: Tensor, gather: Gather) -> Tensor:
        """Activations above it are kept: for BatchTopK those of the batch's k · tokens largest."""
        nothing = value.new_zeros(())
        if self.config.kind != "batch_topk":
            return nothing
        every = gather(value.detach())
        kept = len(every) // value.shape[1] * self.config.k
        if kept >= len(every):
            return nothing
        return every.topk(kept + 1, sorted=False).values.min().clamp_min(0.0)

    @torch.no_grad()
    def _by_prefix(self, value: Tensor, component: Tensor) -> tuple[Tensor, Tensor, Bags]:
        """Slots in the order of the prefixes that have them first, and a bag for each of these."""
        first = torch.bucketize(component, self.ends, right=True)
        part, order = first.sort(dim=1, stable=True)
        within = bags(part, len(self._prefixes))
        return value.gather(1, order), component.gather(1, order), within

    def _reconstructions(
        self, activation: Tensor, component: Tensor, by: Grouped, within: Bags | None
    ) -> list[Tensor]:
        """x̂ in the frame, for each prefix of the components; the last is of all."""
        decoded = decode(activation, self.atoms, component, by, within)
        total = self.bias.expand(len(activation), -1)
        if within is None:
            return [total + decoded]
        found = []
        for part in decoded.unflatten(0, (len(activation), -1)).unbind(1):
            total = total + part
            found.append(total)
        return found

    def _losses(self, x: Tensor, x_hat: Tensor) -> Tensor:
        if self.config.loss == "unit":
            return unit_losses(x, x_hat)
        return (x - x_hat).square().sum(dim=-1) / self.variance

    def _auxk(
        self, framed: Tensor, residual: Tensor, weight: Tensor, value: Tensor, component: Tensor
    ) -> Tensor:
        """What the strongest dead components leave of the residual (Gao et al. 2024), as a variance
        share.

        The residual is detached and holds the bias already, so that the bias counts once. The
        gradient goes past the rectifier: a component that is never positive learns too, and what
        is below 0 reconstructs nothing, else it would serve there and never fire.
        """
        by = grouped(component, self.config.components)
        value = selected(framed, self.encoder_weight, self.encoder_bias, value, by)
        value = value + (value.clamp_min(0) - value).detach()
        left = (residual - decode(value, self.atoms, component, by)).square().sum(dim=-1)
        return (weight * left).sum() * self.scale**2 / self.variance

    def remove_parallel_gradient(self) -> None:
        """Drop the part of the atoms' gradient along the atoms, which `constrain` would undo."""
        gradient = self.atoms.grad
        assert gradient is not None, "backward has run"
        for g, v in zip(_blocks(gradient), _blocks(self.atoms.detach()), strict=True):
            g.addcmul_(v, torch.linalg.vecdot(g, v)[:, None], value=-1)

    @torch.no_grad()
    def constrain(self) -> None:
        """Make atoms unit length again, after every step."""
        for v in _blocks(self.atoms):
            v.div_(v.norm(dim=1, keepdim=True).clamp_min(1e-12))

    @torch.no_grad()
    def note(self, fired: Bool[Tensor, " m"], images: int, threshold: Float[Tensor, ""]) -> None:
        """Remember after a step of some images what fired and BatchTopK's threshold."""
        self.idle += images
        self.idle.masked_fill_(fired, 0)
        moved = self.threshold.lerp(threshold, 1 - MOMENTUM)
        self.threshold.copy_(torch.where(self.threshold.isnan(), threshold, moved))

    @torch.no_grad()
    def served(self) -> Sae:
        """The SAE in units of x, its frame folded into weights and biases."""
        threshold = 0.0 if self.config.kind != "batch_topk" else float(self.threshold)
        sae = Sae(*self._size, self._slots, threshold * self.scale).to(self.atoms.device)
        sae.atoms.copy_(self.atoms)
        sae.bias.copy_(self.bias * self.scale + self.frame_mean)
        sae.encoder_weight.copy_(self.encoder_weight)
        sae.encoder_bias.copy_(
            self.encoder_bias * self.scale - self.encoder_weight @ self.frame_mean
        )
        return sae.eval().requires_grad_(False)


def unit_losses(x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """‖x/‖x‖ − x̂/‖x̂‖‖² (paper, Eq. 10) + (1 − ‖x̂‖/‖x‖)² of each token: 0 is perfect.

    The first term compares directions and leaves the length of x̂ free; since codes are to sum up to
    x itself, the second pins it.
    """
    difference = nn.functional.normalize(x, dim=-1) - nn.functional.normalize(x_hat, dim=-1)
    length = x_hat.norm(dim=-1) / x.norm(dim=-1)
    return difference.square().sum(dim=-1) + (1 - length).square()


def _blocks(rows: Float[Tensor, "m d"]) -> tuple[Tensor, ...]:
    """Parts that stay in a CPU's cache; on a GPU the whole, for it would wait between parts."""
    return rows.split(512 if rows.is_cpu else len(rows))


def _unit(rows: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
    return rows / rows.norm(dim=1, keepdim=True)
