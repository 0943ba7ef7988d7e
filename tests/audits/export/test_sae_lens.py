"""An SAE in SAELens's format encodes and decodes as it does here."""

import pytest
import torch
from torch import Tensor

from audits.export.sae_lens import config, tensors
from pipeline.sae.model import Sae


@pytest.fixture(params=[0.0, 0.3], ids=["topk", "threshold"])
def sae(request: pytest.FixtureRequest) -> Sae:
    generator = torch.Generator().manual_seed(1)
    made = Sae(components=7, width=5, slots=3, threshold=request.param)
    with torch.no_grad():
        for tensor in made.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return made.requires_grad_(False)


def as_sae_lens(cfg: dict, weights: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [n, m] and reconstruction as SAELens 6.54 computes them (saes/*.py)."""
    given = x - weights["b_dec"] if cfg["apply_b_dec_to_input"] else x
    hidden = given @ weights["W_enc"] + weights["b_enc"]
    if cfg["architecture"] == "topk":
        largest = hidden.topk(cfg["k"], dim=-1)
        codes = torch.zeros_like(hidden).scatter(-1, largest.indices, largest.values.relu())
    else:
        assert cfg["architecture"] == "jumprelu"
        codes = hidden.relu() * (hidden > weights["threshold"])
    return codes, codes @ weights["W_dec"] + weights["b_dec"]


def test_it_encodes_and_decodes_as_here(sae: Sae) -> None:
    x = torch.randn(11, 5, generator=torch.Generator().manual_seed(2))
    cfg, weights = config(sae, {"audit": "birds"}), tensors(sae)
    assert (cfg["d_in"], cfg["d_sae"]) == (5, 7)
    assert {name: tuple(value.shape) for name, value in weights.items()} == {
        "W_enc": (5, 7),
        "b_enc": (7,),
        "W_dec": (7, 5),
        "b_dec": (5,),
        **({"threshold": (7,)} if sae.threshold else {}),
    }
    codes, there = as_sae_lens(cfg, weights, x)
    own = sae.encode(x)
    here = torch.zeros(11, 7).scatter_add(-1, own.component, own.activation)
    # A threshold has no largest number of active components there.
    same = (codes > 0).sum(1) <= sae.slots
    assert same.sum() > 3
    torch.testing.assert_close(codes[same], here[same])
    torch.testing.assert_close(there[same], sae.reconstruct(own)[same])
    assert bool(same.all()) == (sae.threshold == 0)
