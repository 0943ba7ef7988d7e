"""Images made of the components of a random dictionary, and the literal re-run of one."""

import torch
from torch import Tensor

from audits.faithfulness.parts import Images, Model, model_of
from pipeline.attribution.head import Head, unit
from pipeline.attribution.relevance import Codes, decode


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def invented(n: int = 36, k: int = 6, seed: int = 0) -> tuple[Images, Tensor, Model]:
    """Images, three prompts and a model whose LayerNorm is far from weight 1 and bias 0."""
    g = generator(seed)
    d, p, m, c = 24, 15, 40, 3

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    head = Head(1 + 0.4 * normal(d), 0.4 * normal(d), 1e-3, normal(d, p))
    atoms, texts = unit(normal(m, d)), unit(normal(c, p))
    component = torch.stack([torch.randperm(m, generator=g)[:k] for _ in range(n)])
    codes = Codes(component, 0.2 + normal(n, k).abs())
    bias = normal(d)
    x = decode(codes, atoms) + 0.3 * normal(n, d) + bias
    return Images(x, codes, torch.arange(n) % c), texts, model_of(head, atoms, bias)


def literal_output(
    images: Images, texts: Tensor, model: Model, row: int, off: list[int], error: bool = True
) -> float:
    """y of one image, re-run from its dense activations with some components at 0."""
    a = torch.zeros(len(model.atoms), dtype=torch.float64)
    a[images.codes.component[row]] = images.codes.activation[row]
    rest = images.x[row] - a @ model.atoms if error else model.bias
    a[off] = 0
    gamma, beta, eps, w_proj = model.head
    x = a @ model.atoms + rest
    z = ((x - x.mean()) / (x.var(correction=0) + eps).sqrt() * gamma + beta) @ w_proj
    return float(z @ texts[images.target[row]] / z.norm())
