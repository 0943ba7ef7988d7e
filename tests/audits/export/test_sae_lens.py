"""An SAE in SAELens's format encodes and decodes as it does here."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from audits.command import export
from audits.export.sae_lens import config, tensors
from pipeline import layout
from pipeline.artifacts.store import write_json, write_table
from pipeline.config import load_params
from pipeline.sae import files
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


@pytest.mark.parametrize("writer", ["save_file", "write_json"])
def test_an_export_that_is_stopped_is_not_taken_for_whole(
    sae: Sae, writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    params = load_params()
    monkeypatch.chdir(tmp_path)
    audit = params.audit("scenes-tiny")
    files.save(sae, layout.sae("scenes-tiny"), {})
    write_json(layout.head(audit.embeddings) / "model.json", {"weights_sha256": "ab"})
    write_json(layout.manifest(audit.dataset) / "dataset.json", {"fingerprint": "cd"})
    lists = {column: [["bat"]] for column in ("top_images", "runners_up", "margins")}
    write_table(layout.labels("scenes-tiny"), pd.DataFrame({"component": [4], **lists}))
    folder = Path("out")
    export.export_sae(params, "scenes-tiny", folder)
    written = {path.name for path in folder.iterdir()}
    assert written == {"cfg.json", "labels.json", "sae_weights.safetensors"}

    monkeypatch.setattr(export, writer, stopped)
    with pytest.raises(KeyboardInterrupt):
        export.export_sae(params, "scenes-tiny", folder)
    assert not (folder / "cfg.json").exists()
