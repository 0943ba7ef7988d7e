"""What SAELens itself has trained and saved is read, and it reads what is exported; where it is
installed."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from audits.export import sae_lens as export
from pipeline.config import ConfigError
from pipeline.sae import imported
from pipeline.sae.model import Sae

M, D, K = 48, 12, 5
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def lens() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sae_lens")


def vectors(count: int) -> Tensor:
    return torch.randn(count, D, generator=torch.Generator().manual_seed(count))


def trained(lens: Any, kind: str, **settings: Any) -> Any:
    """A few steps of training, by SAELens's own classes."""
    from sae_lens.saes.sae import TrainStepInput

    torch.manual_seed(0)
    made, config = lens.registry.get_sae_training_class(kind)
    sae = made(config(d_in=D, d_sae=M, **settings))
    steps = torch.optim.Adam(sae.parameters(), lr=0.01)
    for step in range(60):
        known = sae.get_coefficients().items()
        weights = {name: getattr(value, "value", value) for name, value in known}
        batch = TrainStepInput(
            sae_in=vectors(256) + 0.3,
            coefficients=weights,
            dead_neuron_mask=None,
            n_training_steps=step,
            is_logging_step=False,
        )
        steps.zero_grad()
        sae.training_forward_pass(batch).loss.backward()
        steps.step()
    return sae


def dense(sae: Sae, x: Tensor) -> Tensor:
    found = sae.encode(x)
    return torch.zeros(len(x), M).scatter_add(-1, found.component, found.activation)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("topk", {"k": K}),
        ("batchtopk", {"k": K}),
        ("matryoshka_batchtopk", {"k": K, "matryoshka_widths": [12, M]}),
        ("standard", {"l1_coefficient": 0.1}),
    ],
)
def test_its_own_are_read(lens: Any, tmp_path: Path, kind: str, settings: dict) -> None:
    trained(lens, kind, **settings).save_inference_model(tmp_path)
    there = lens.SAE.load_from_disk(str(tmp_path))
    # So many that none is left off where there is no largest number.
    sae, _ = imported.read(tmp_path, K if kind == "topk" else M)
    assert (sae.threshold > 0) == ("batchtopk" in kind)
    x = vectors(500) + 0.3
    codes = there.encode(x).detach()
    lengths = there.W_dec.detach().norm(dim=-1)
    torch.testing.assert_close(dense(sae, x), codes * lengths, rtol=1e-4, atol=1e-5)
    back = there.decode(codes).detach()
    torch.testing.assert_close(sae.reconstruct(sae.encode(x)), back, rtol=1e-4, atol=1e-5)
    assert 1 < (codes > 0).sum(dim=1).float().mean() < M


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("jumprelu", "thresholds are from"),
        ("gated", "architecture is 'gated'"),
        ("abstopk", "architecture is 'abstopk'"),
        ("matching_pursuit", "architecture is 'matching_pursuit'"),
    ],
)
def test_its_others_are_refused(lens: Any, tmp_path: Path, kind: str, said: str) -> None:
    made, config = lens.registry.get_sae_training_class(kind)
    sae = made(config(d_in=D, d_sae=M))
    if kind == "jumprelu":
        sae.threshold.data.copy_(torch.linspace(0.1, 0.2, M))
    sae.save_inference_model(tmp_path)
    with pytest.raises(ConfigError, match=said):
        imported.read(tmp_path, K)


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_it_reads_what_is_exported(lens: Any, tmp_path: Path, threshold: float) -> None:
    generator = torch.Generator().manual_seed(1)
    sae = Sae(M, D, K if threshold == 0 else M, threshold)
    for tensor in sae.parameters():
        tensor.data.copy_(torch.randn(tensor.shape, generator=generator))
    (tmp_path / imported.CFG).write_text(json.dumps(export.config(sae, {"audit": "birds"})))
    save_file(export.tensors(sae), tmp_path / imported.WEIGHTS)
    there = lens.SAE.load_from_disk(str(tmp_path))
    assert there.cfg.metadata.audit == "birds"
    x = vectors(500)
    torch.testing.assert_close(there.encode(x), dense(sae, x))
    torch.testing.assert_close(there(x), sae.reconstruct(sae.encode(x)))
