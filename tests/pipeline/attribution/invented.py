"""A random head, dictionary and images in double precision, and the slow ways to attribute."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from pipeline.attribution.head import Head, unit
from pipeline.attribution.relevance import (
    Codes,
    ablation,
    act_grad,
    energy,
    gradient,
    integrated_gradients,
    random_relevance,
)

TOLERANCE = 1e-9


class Case:
    """A random head, dictionary and images, everything in float64."""

    def __init__(
        self, seed: int = 0, n: int = 3, d: int = 11, p: int = 7, m: int = 13, k: int = 4
    ) -> None:
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g, dtype=torch.float64)

        # Weights from 0.3 to 3 with both signs and biases around 2: far from 1 and 0.
        sign = torch.where(normal(d) > 0, 1.0, -1.0).double()
        gamma = sign * (0.3 + 2.7 * torch.rand(d, generator=g, dtype=torch.float64))
        self.head = Head(gamma, 2 + 2 * normal(d), 1e-3, normal(d, p))
        self.x = 5 * normal(n, d) + 3
        self.t = unit(normal(n, p))
        self.atoms = unit(normal(m, d))
        slots = [torch.randperm(m, generator=g)[:k] for _ in range(n)]
        self.codes = Codes(torch.stack(slots), 0.1 + 4 * normal(n, k).abs())


def model(x: Tensor, head: Head) -> Tensor:
    """The head, written out."""
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return ((x - mean) / (variance + head.eps).sqrt() * head.gamma + head.beta) @ head.w_proj


def cosine(x: Tensor, t: Tensor, head: Head) -> Tensor:
    return torch.nn.functional.cosine_similarity(model(x, head), t, dim=-1)


def autograd(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(function(at).sum(), at)
    return found


def relative_error(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


def every_method(case: Case) -> dict[str, Tensor]:
    """Relevance by every method."""
    x, t, codes, atoms, head = case.x, case.t, case.codes, case.atoms, case.head
    return {
        "act_grad": act_grad(gradient(x, t, head), codes, atoms),
        "integrated_gradients": integrated_gradients(x, t, codes, atoms, head, 3),
        "ablation": ablation(x, t, codes, atoms, head),
        "energy": energy(codes, atoms),
        "random": random_relevance(codes, torch.Generator().manual_seed(0)),
    }


def dense(codes: Codes, m: int) -> Tensor:
    a = torch.zeros(len(codes.component), m, dtype=codes.activation.dtype)
    return a.scatter_add(1, codes.component, codes.activation)


def per_slot(case: Case, values: Tensor) -> Tensor:
    return values.gather(1, case.codes.component)


shapes = {
    "seed": st.integers(0, 2**31),
    "n": st.integers(1, 5),
    "d": st.integers(3, 24),
    "p": st.integers(2, 19),
    "m": st.integers(6, 30),
    "k": st.integers(1, 6),
}
