"""A sparse autoencoder as it is served: x ≈ Σ_j a_j V_j + b with few active components."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline.attribution.relevance import Codes, decode


class Sae(nn.Module):
    """An SAE with unit-norm atoms (paper, Eq. 1 and 9), of whatever kind it was trained as.

    Activations are relu(W x + c), of which the `slots` largest of an image are kept where they
    exceed `threshold`. So an image's codes never depend on the other images of its batch.
    """

    def __init__(self, components: int, width: int, slots: int, threshold: float = 0.0) -> None:
        super().__init__()
        self.slots = slots
        """Active components an image at most."""
        self.threshold = threshold
        self.atoms = nn.Parameter(torch.zeros(components, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.encoder_weight = nn.Parameter(torch.zeros(components, width))
        self.encoder_bias = nn.Parameter(torch.zeros(components))

    def encode(self, x: Float[Tensor, "n d"]) -> Codes:
        """The largest activations of each image; a slot whose activation is 0 is empty."""
        dense = torch.addmm(self.encoder_bias, x, self.encoder_weight.T)
        activation, component = dense.topk(self.slots, dim=-1)
        # At threshold 0 this is the rectifier.
        off = activation <= self.threshold
        return Codes(component.masked_fill(off, 0), activation.masked_fill(off, 0.0))

    def reconstruct(self, codes: Codes) -> Float[Tensor, "n d"]:
        """x̂ = Σ_j a_j V_j + b."""
        return decode(codes, self.atoms) + self.bias


@torch.inference_mode()
def encode_blocks(sae: Sae, x: Float[Tensor, "n d"], rows: int = 1024) -> Codes:
    """Codes of many images, block by block, so that [n, m] is never dense.

    They are computed on the SAE's device and come back to that of x.
    """
    there = sae.atoms.device
    parts = [sae.encode(block.to(there)) for block in x.split(rows)]
    return Codes(*(torch.cat(column).to(x.device) for column in zip(*parts, strict=True)))
