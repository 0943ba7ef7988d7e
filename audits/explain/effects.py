"""What each active component of one image does to its output, for one prompt."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.attribution.head import Head, cosine_outputs
from pipeline.attribution.relevance import Codes, act_grad, decode, gradient
from pipeline.sae.model import Sae


class Effect(NamedTuple):
    """One active component."""

    component: int
    activation: float
    relevance: float
    """First-order estimate of the effect, R_j = a_j ∂y/∂a_j (paper, Eq. 5)."""
    effect: float
    """Exact: y − y with a_j = 0; above 0 the component speaks for the prompt, below 0 against."""
    share: float | None
    """effect/|y|, the part of the output that goes when the component does; None where y is 0."""


class Outputs(NamedTuple):
    """An image's output, and what becomes of it."""

    y: float
    """Cosine of image and prompt, in [-1, 1]."""
    y_reconstruction: float
    """y of what the SAE makes of the image, Σ_j a_j V_j + b."""
    y_components_off: float
    """y with every component off: of the SAE's bias and error alone."""
    effects: tuple[Effect, ...]
    """Of all active components, by falling effect."""

    @property
    def unexplained(self) -> float:
        """What the SAE's error contributes: y − y of the reconstruction."""
        return self.y - self.y_reconstruction

    def supporting(self, count: int) -> list[Effect]:
        """Up to `count` components that speak for the prompt, the strongest first."""
        return [effect for effect in self.effects if effect.effect > 0][:count]

    def opposing(self, count: int) -> list[Effect]:
        """Up to `count` components that speak against the prompt, the strongest first."""
        return [effect for effect in reversed(self.effects) if effect.effect < 0][:count]


def outputs(x: Float[Tensor, " d"], t: Float[Tensor, " p"], head: Head, sae: Sae) -> Outputs:
    """Output of one image for one unit text embedding, and the effect of each active component.

    The SAE's error stays in x when a component is switched off. Computed in float64, since effects
    are small differences of outputs.

    Raises:
        ValueError: the head sends the image, or what is left of it, to a vector of length 0.
    """
    found = sae.encode(x[None])
    # Of m atoms only the k that are active are needed, and made float64.
    atoms = sae.atoms[found.component[0]].double()
    activation = found.activation.double()
    codes = Codes(torch.arange(len(atoms))[None], activation)
    exact = Head(head.gamma.double(), head.beta.double(), head.eps, head.w_proj.double())
    image, prompt = x[None].double(), t[None].double()
    decoded = decode(codes, atoms)
    without = image - activation[0, :, None] * atoms
    others = torch.cat([image, decoded + sae.bias.double(), image - decoded, without])
    y, reconstruction, off, *ablated = cosine_outputs(others, prompt, exact)[:, 0].tolist()
    relevance = act_grad(gradient(image, prompt, exact), codes, atoms)[0].tolist()
    effects = [
        Effect(j, a, r, y - left, (y - left) / abs(y) if y else None)
        for j, a, r, left in zip(
            found.component[0].tolist(), activation[0].tolist(), relevance, ablated, strict=True
        )
        if a > 0
    ]
    ranked = sorted(effects, key=lambda effect: (-effect.effect, effect.component))
    return Outputs(y, reconstruction, off, tuple(ranked))
