"""The top-k sparse autoencoder: x ≈ Σ_j a_j V_j + b with at most k active components."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.attribution import Codes, decode


class TopKSae(nn.Module):
    """Top-k SAE with unit-norm atoms (paper, Eq. 1 and 9).

    Activations are the k largest of relu(W (x − b) + c). The encoder W starts as the atoms
    and b as the mean of the data, so that training starts at matching pursuit's first step
    instead of at noise.
    """

    def __init__(self, components: int, width: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.atoms = nn.Parameter(torch.zeros(components, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.encoder_weight = nn.Parameter(torch.zeros(components, width))
        self.encoder_bias = nn.Parameter(torch.zeros(components))

    @classmethod
    def initialised(
        cls,
        x: Float[Tensor, "n d"],
        components: int,
        k: int,
        generator: torch.Generator,
    ) -> "TopKSae":
        """A fresh SAE: random unit atoms, the encoder their transpose, the bias the mean of x."""
        sae = cls(components, x.shape[1], k)
        atoms = torch.randn(components, x.shape[1], generator=generator)
        with torch.no_grad():
            sae.atoms.copy_(atoms / atoms.norm(dim=1, keepdim=True))
            sae.encoder_weight.copy_(sae.atoms)
            sae.bias.copy_(x.mean(dim=0))
        return sae

    def encode(self, x: Float[Tensor, "n d"]) -> Codes:
        """The k largest activations of each image; a slot whose activation is 0 is empty."""
        dense = torch.relu((x - self.bias) @ self.encoder_weight.T + self.encoder_bias)
        activation, component = dense.topk(self.k, dim=-1)
        return Codes(component.masked_fill(activation == 0, 0), activation)

    def reconstruct(self, codes: Codes) -> Float[Tensor, "n d"]:
        """x̂ = Σ_j a_j V_j + b."""
        return decode(codes, self.atoms) + self.bias

    @torch.no_grad()
    def constrain(self) -> None:
        """Make atoms unit length again, after every step."""
        self.atoms.div_(self.atoms.norm(dim=1, keepdim=True).clamp_min(1e-12))

    def remove_parallel_gradient(self) -> None:
        """Drop the part of the atoms' gradient along the atoms, which `constrain` would undo."""
        gradient = self.atoms.grad
        assert gradient is not None, "backward has run"
        gradient -= (gradient * self.atoms.detach()).sum(dim=1, keepdim=True) * self.atoms.detach()


def reconstruction_loss(x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean over images of ‖x/‖x‖ − x̂/‖x̂‖‖² (paper, Eq. 10) + (1 − ‖x̂‖/‖x‖)²: 0 is perfect.

    The first term compares directions and leaves the length of x̂ free; since codes are to sum up to
    x itself, the second pins it.
    """
    difference = nn.functional.normalize(x, dim=-1) - nn.functional.normalize(x_hat, dim=-1)
    length = x_hat.norm(dim=-1) / x.norm(dim=-1)
    return (difference.square().sum(dim=-1) + (1 - length).square()).mean()
