"""x taken apart into bias, error and components, and the output of any mixture of the parts.

x = b + error + Σ a_j V_j (paper, Eq. 17). The head is a LayerNorm, a projection and a cosine, so
the output of Σ w_i · part_i needs products of the parts only. These are computed once an image;
then a deletion, an insertion, an ablation or a point of Integrated Gradients costs no projection.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes, blocks, decode

PARTS_AT_ONCE = 2**12
"""Parts of images that are gathered at once."""
WEIGHTS_AT_ONCE = 2**19
"""Weights of parts in the mixtures that are worked out at once."""
BIAS, ERROR, FIRST_SLOT = 0, 1, 2
"""Places of the parts."""
LEAST_SHARE = 1e-12
"""Share of its parts' squared lengths that a mixture must keep: double precision knows no less."""


class Model(NamedTuple):
    """What turns codes into an output, all of one dtype; double keeps small differences."""

    head: Head
    atoms: Float[Tensor, "m d"]
    bias: Float[Tensor, " d"]
    """The SAE's decoder bias."""
    projected: Float[Tensor, "m p"]
    """Atoms as the head projects them up to scale, see `projected`."""


class Images(NamedTuple):
    """Images and the class whose prompt is asked."""

    x: Float[Tensor, "n d"]
    codes: Codes
    target: Int[Tensor, " n"]
    """Row of each image's prompt in the table of prompts."""

    def rows(self, rows: Tensor) -> "Images":
        """Some of the images, by mask or by index."""
        codes = Codes(self.codes.component[rows], self.codes.activation[rows])
        return Images(self.x[rows], codes, self.target[rows])


class Parts(NamedTuple):
    """Products of the s = k + 2 parts of each image: bias, error, then the slots."""

    covariance: Float[Tensor, "n s s"]
    """Mean over coordinates of products of centred parts: what LayerNorm's σ² is made of."""
    products: Float[Tensor, "n s s"]
    """Products of projected parts."""
    shift: Float[Tensor, "n s"]
    """Products of projected parts with what LayerNorm's bias adds to z, beta W_proj."""


class Prompt(NamedTuple):
    """What a prompt's unit embedding t has in common with images' parts."""

    evidence: Float[Tensor, "n s"]
    """Products of projected parts with t."""
    shift: Float[Tensor, ""]
    """Product of beta W_proj with t."""


def projected(x: Float[Tensor, "*n d"], head: Head) -> Float[Tensor, "*n p"]:
    """(x − mean x) ∘ gamma W_proj: z less what beta adds, up to LayerNorm's σ; linear in x."""
    return ((x - x.mean(dim=-1, keepdim=True)) * head.gamma) @ head.w_proj


def model_of(head: Head, atoms: Float[Tensor, "m d"], bias: Float[Tensor, " d"]) -> Model:
    """A model with its atoms projected."""
    table = torch.empty(len(atoms), head.w_proj.shape[1], dtype=atoms.dtype)
    for rows in blocks(len(atoms), PARTS_AT_ONCE):
        table[rows] = projected(atoms[rows], head)
    return Model(head, atoms, bias, table)


def take_apart(images: Images, model: Model) -> Parts:
    """Products of the parts of each image."""
    component, activation = images.codes
    n, size = len(component), component.shape[1] + FIRST_SLOT
    d = model.atoms.shape[1]
    square = torch.empty(2, n, size, size, dtype=model.atoms.dtype)
    found = Parts(square[0], square[1], torch.empty(n, size, dtype=model.atoms.dtype))
    beta_w = model.head.beta @ model.head.w_proj
    for rows in blocks(n, PARTS_AT_ONCE // size):
        codes = Codes(component[rows], activation[rows])
        bias = model.bias.expand_as(images.x[rows])
        error = images.x[rows] - bias - decode(codes, model.atoms)
        first = torch.stack([bias, error], dim=1)  # [rows, 2, d]
        a = codes.activation[..., None]
        whole = torch.cat([first, a * model.atoms[codes.component]], dim=1)  # [rows, s, d]
        seen = torch.cat([projected(first, model.head), a * model.projected[codes.component]], 1)
        whole -= whole.mean(dim=2, keepdim=True)
        found.covariance[rows] = whole @ whole.mT / d
        found.products[rows] = seen @ seen.mT
        found.shift[rows] = seen @ beta_w
    return found


def ask(images: Images, t: Float[Tensor, " p"], model: Model) -> Prompt:
    """What one prompt has in common with the parts of all images."""
    evidence = images.codes.activation * (model.projected @ t)[images.codes.component]
    bias = projected(model.bias, model.head) @ t
    # Linear, so that the error's is what is left of x's.
    error = projected(images.x, model.head) @ t - bias - evidence.sum(dim=1)
    parts = torch.cat([bias.expand_as(error)[:, None], error[:, None], evidence], dim=1)
    return Prompt(parts, model.head.beta @ model.head.w_proj @ t)


def mix(
    weights: Float[Tensor, "n q s"], parts: Parts, prompt: Prompt, head: Head
) -> Float[Tensor, "n q"]:
    """y of q mixtures Σ w_i · part_i of each image, cosines in [-1, 1].

    With T, E and Q the mixture's product with t, with itself and with beta W_proj, and
    ‖z‖² = E/σ² + 2 Q/σ + ‖beta W_proj‖²: y = (T/σ + t · beta W_proj)/‖z‖.

    Raises:
        DoesNotApply: a mixture's parts cancel out, so that its cosine is undefined or rounding.
    """
    y = torch.empty(weights.shape[:2], dtype=weights.dtype)
    for rows in blocks(len(weights), WEIGHTS_AT_ONCE // weights[0].numel()):
        part = Parts(parts.covariance[rows], parts.products[rows], parts.shift[rows])
        asked = Prompt(prompt.evidence[rows], prompt.shift)
        y[rows] = _mix(weights[rows], part, asked, head).y
    return y


def slopes(
    weights: Float[Tensor, "n q s"], parts: Parts, prompt: Prompt, head: Head
) -> Float[Tensor, "n q k"]:
    """∂y/∂w of every slot at q mixtures of each image.

    A slot's part is a_j V_j, so that at w = 1 this is a_j ∂y/∂a_j, Act×Grad.
    """
    at = _mix(weights, parts, prompt, head)
    sigma, t, e, q, length, y = (v[..., None] for v in at[:6])
    by_sigma = at.covariance / sigma
    numerator = prompt.evidence[:, None] / sigma - t / sigma**2 * by_sigma
    squared = (at.products - e / sigma * by_sigma) / sigma**2
    squared += (parts.shift[:, None] - q / sigma * by_sigma) / sigma
    return ((numerator - y / length * squared) / length)[..., FIRST_SLOT:]


class _Mix(NamedTuple):
    sigma: Float[Tensor, "n q"]
    t: Float[Tensor, "n q"]
    e: Float[Tensor, "n q"]
    q: Float[Tensor, "n q"]
    length: Float[Tensor, "n q"]
    y: Float[Tensor, "n q"]
    covariance: Float[Tensor, "n q s"]
    products: Float[Tensor, "n q s"]


def _mix(weights: Float[Tensor, "n q s"], parts: Parts, prompt: Prompt, head: Head) -> _Mix:
    covariance, products = weights @ parts.covariance, weights @ parts.products
    sigma = ((weights * covariance).sum(dim=2) + head.eps).sqrt()
    t, q = ((weights @ v[..., None])[..., 0] for v in (prompt.evidence, parts.shift))
    e = (weights * products).sum(dim=2)
    beta_w = (head.beta @ head.w_proj).square().sum()
    squared = e / sigma**2 + 2 * q / sigma + beta_w
    # The most that it could be, had all parts the same direction.
    sizes = parts.products.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
    most = ((weights.abs() @ sizes[..., None])[..., 0] / sigma + beta_w.sqrt()) ** 2
    cancelled = int((~(squared > LEAST_SHARE * most)).sum())
    if cancelled:
        raise DoesNotApply(
            f"{cancelled} mixtures of an image's components cancel out to an embedding of length "
            "0: no cosine is defined"
        )
    length = squared.sqrt()
    y = (t / sigma + prompt.shift) / length
    return _Mix(sigma, t, e, q, length, y, covariance, products)


def switched(on: Bool[Tensor, "n q k"], error: bool, dtype: torch.dtype) -> Float[Tensor, "n q s"]:
    """Mixtures with some slots on; the bias always, the SAE's error as asked."""
    first = torch.tensor([1.0, float(error)], dtype=dtype).expand(*on.shape[:2], FIRST_SLOT)
    return torch.cat([first, on.to(dtype)], dim=2)


def deletions(ranks: Int[Tensor, "n k"], steps: int) -> Bool[Tensor, "n q k"]:
    """Slots still on after the first 0, 1, …, steps places are removed."""
    return ranks[:, None] >= torch.arange(steps + 1)[:, None]


def insertions(ranks: Int[Tensor, "n k"], steps: int) -> Bool[Tensor, "n q k"]:
    """Slots on after the first 0, 1, …, steps places are put back, the others off."""
    return ~deletions(ranks, steps)


def one_off(images: Images) -> Bool[Tensor, "n k k"]:
    """All slots on but one, for each slot."""
    n, k = images.codes.component.shape
    return (~torch.eye(k, dtype=torch.bool)).expand(n, k, k)
