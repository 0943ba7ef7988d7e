"""A dictionary from elsewhere encodes as it did there, or is refused with what is wrong."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from audits.export import sae_lens
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.config import ConfigError
from pipeline.sae import files, imported, stability, train_further, train_sae
from pipeline.sae.model import Sae
from tests.audits.export.test_sae_lens import as_sae_lens
from tests.recipes.results import AUDIT, SAE, run, workspace, write_embeddings

M, D, K = 7, 5, 3


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(values: Tensor) -> Tensor:
    return torch.nn.functional.normalize(values, dim=-1)


def write(folder: Path, cfg: dict, weights: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(cfg))
    save_file(
        {key: value.contiguous() for key, value in weights.items()}, folder / imported.WEIGHTS
    )
    return folder


def foreign(lengths: Tensor, **cfg: object) -> tuple[dict, dict[str, Tensor]]:
    """A top-k SAE with atoms of these lengths, and the keys that SAELens 6.54.12 writes."""
    weights = {
        "W_enc": drawn(D, M),
        "b_enc": drawn(M, seed=2),
        "W_dec": unit(drawn(M, D, seed=3)) * lengths[:, None],
        "b_dec": drawn(D, seed=4),
    }
    details = {"decoder_init_norm": 0.1, "use_sparse_activations": False}
    about = {
        "d_in": D,
        "d_sae": M,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": "6.54.12",
            "sae_lens_training_version": "6.54.12",
            "training_architecture": "topk",
            "training_architecture_details": {**details, "aux_loss_coefficient": 1.0},
        },
        "k": K,
        "rescale_acts_by_decoder_norm": True,
        "architecture": "topk",
    }
    return {**about, **cfg}, weights


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_what_is_exported_comes_back_to_the_bit(tmp_path: Path, threshold: float) -> None:
    sae = Sae(M, D, K, threshold)
    for tensor in sae.parameters():
        tensor.data.copy_(drawn(*tensor.shape))
    sae.atoms.data.copy_(unit(sae.atoms.data))
    write(tmp_path, sae_lens.config(sae, {}), sae_lens.tensors(sae))
    back, free = imported.read(tmp_path, K)
    assert not free
    assert (back.slots, back.threshold) == (sae.slots, pytest.approx(threshold))
    for name, tensor in sae.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)


@pytest.mark.parametrize("rescaled", [False, True])
def test_one_of_sae_lens_encodes_and_decodes_as_there(tmp_path: Path, rescaled: bool) -> None:
    lengths = torch.linspace(0.5, 2, M) if rescaled else torch.full((M,), 1.7)
    cfg, weights = foreign(lengths, rescale_acts_by_decoder_norm=rescaled)
    sae, free = imported.read(write(tmp_path, cfg, weights), K)
    assert not free
    x = drawn(11, D, seed=5)
    there = {**weights}
    if rescaled:  # SAELens selects by what unit atoms would have, and decodes with these
        there |= {"W_enc": weights["W_enc"] * lengths, "b_enc": weights["b_enc"] * lengths}
        there["W_dec"] = unit(weights["W_dec"])
    codes, decoded = as_sae_lens(cfg, there, x)
    own = sae.encode(x)
    here = torch.zeros(11, M).scatter_add(-1, own.component, own.activation)
    torch.testing.assert_close(sae.atoms.norm(dim=1), torch.ones(M))
    torch.testing.assert_close(here, codes if rescaled else codes * 1.7)
    torch.testing.assert_close(sae.reconstruct(own), decoded)


@pytest.mark.parametrize(
    ("architecture", "bound"), [("standard", 0.0), ("jumprelu", 0.4), ("jumprelu", -1.0)]
)
def test_one_without_a_largest_number_has_slots_to_spare(
    tmp_path: Path, architecture: str, bound: float
) -> None:
    lengths = torch.linspace(0.5, 2, M)
    cfg, weights = foreign(lengths, architecture=architecture)
    weights["b_enc"] += 1  # so that some images have more than four
    if architecture == "jumprelu":
        weights["threshold"] = bound / lengths
    sae, free = imported.read(write(tmp_path, cfg, weights), 1)
    assert (free, sae.slots, sae.threshold) == (True, 4, pytest.approx(max(bound, 0)))
    assert imported.read(tmp_path, 2)[1] is False  # eight slots for seven components
    x = drawn(60, D, seed=5)
    hidden = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    codes = hidden.relu() * (hidden > weights.get("threshold", torch.zeros(M)))
    own = sae.encode(x)
    here = torch.zeros(60, M).scatter_add(-1, own.component, own.activation)
    whole = (codes > 0).sum(1) <= 4
    assert 10 < whole.sum() < 60
    torch.testing.assert_close(here[whole], (codes * lengths)[whole])
    decoded = codes @ weights["W_dec"] + weights["b_dec"]
    torch.testing.assert_close(sae.reconstruct(own)[whole], decoded[whole])


OLD = {"metadata": {"sae_lens_version": "5.9.1"}}


@pytest.mark.parametrize(
    ("cfg", "lengths", "said"),
    [
        ({"architecture": "gated"}, (1, 1), "architecture is 'gated'; topk and standard can be"),
        ({"architecture": "batchtopk"}, (1, 1), "save_inference_model makes of batchtopk"),
        ({"metadata": {}}, (1, 1), "sae_lens_version is none, and the format of version 6 is"),
        ({"activation_fn_str": "topk", **OLD}, (1, 1), "sae_lens_version is 5.9.1"),
        ({"normalize_activations": "layer_norm"}, (1, 1), "normalize_activations"),
        ({"rescale_acts_by_decoder_norm": False}, (1, 2), "lengths of atoms"),
        ({"k": 4}, (1, 1), "sae.k is 3, and .* says 4"),
        ({"d_in": 6}, (1, 1), r"W_enc is \(5, 7\), and should be \(6, 7\)"),
    ],
)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, cfg: dict, lengths: tuple[int, int], said: str
) -> None:
    write(tmp_path, *foreign(torch.linspace(*map(float, lengths), M), **cfg))
    with pytest.raises(ConfigError, match=said):
        imported.read(tmp_path, K)


def test_a_folder_without_it_is_refused_with_what_writes_it(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"lacks cfg\.json and sae_weights\.safetensors: `audit ex"
    ):
        imported.read(tmp_path, K)
    write(tmp_path, *foreign(torch.ones(M)))
    (tmp_path / imported.WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(ConfigError, match="is damaged"):
        imported.read(tmp_path, K)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sae]:
    """A dictionary of the invented embeddings, exported, and as it was."""
    folder = tmp_path_factory.mktemp("exported")
    with workspace(sae=SAE):
        write_embeddings()
        run(train_sae.main, "--audit", AUDIT)
        sae = files.load(layout.sae(AUDIT))
    write(folder, sae_lens.config(sae, {}), sae_lens.tensors(sae))
    return folder, sae


def named(folder: Path, **changed: object) -> dict:
    digest = imported.content_sha256(folder)
    return {"folder": str(folder), "sha256": digest, "min_explained_variance": 0.5, **changed}


def test_an_audit_runs_with_it_and_says_what_does_not_apply(trained: tuple[Path, Sae]) -> None:
    folder, sae = trained
    with workspace(sae=SAE, dictionary=named(folder)):
        write_embeddings()
        run(train_sae.main, "--audit", AUDIT)
        run(train_further.main, "--audit", AUDIT)
        run(stability.main, "--audit", AUDIT)
        taken = files.load(layout.sae(AUDIT))
        assert all(
            torch.equal(a, b) for a, b in zip(taken.parameters(), sae.parameters(), strict=True)
        )
        curves = read_table(layout.sae(AUDIT) / "curves.csv")
        assert len(curves) == 1 and 0 < curves["loss"][0] < 0.5 < curves["explained_variance"][0]
        metrics = read_json(layout.audit(AUDIT, "stability") / "metrics.json")
        assert "was imported" in metrics["does_not_apply"]["stability"]
        assert not list(layout.further_saes(AUDIT).glob("*/sae.safetensors"))


def test_one_with_more_active_components_than_are_kept_stops_the_stage(
    trained: tuple[Path, Sae], tmp_path: Path
) -> None:
    sae = trained[1]
    cfg = sae_lens.config(sae, {}) | {"architecture": "standard"}
    cfg["metadata"] = {"sae_lens_version": "6.54.12"}
    folder = write(tmp_path, cfg, sae_lens.tensors(sae))
    with workspace(sae=SAE | {"k": 1}, dictionary=named(folder)):
        write_embeddings()
        with pytest.raises(ConfigError, match="have 4 active components or more, and"):
            run(train_sae.main, "--audit", AUDIT)


@pytest.mark.parametrize(
    ("sae", "changed", "said"),
    [
        ({}, {"sha256": "0" * 64}, "write that if it is the one"),
        ({"components": 23}, {}, "sae.components is 23, and the dictionary .* has 24"),
        ({}, {"min_explained_variance": 0.9999}, "explains 0.* less than dictionary.min_explained"),
    ],
)
def test_one_that_does_not_fit_stops_the_stage(
    trained: tuple[Path, Sae], sae: dict, changed: dict, said: str
) -> None:
    with workspace(sae=SAE | sae, dictionary=named(trained[0], **changed)):
        write_embeddings()
        with pytest.raises(ConfigError, match=said):
            run(train_sae.main, "--audit", AUDIT)


def test_one_of_another_width_stops_the_stage(tmp_path: Path) -> None:
    cfg, weights = foreign(torch.ones(M))
    folder = write(tmp_path, cfg, weights)
    with workspace(sae=SAE, dictionary=named(folder)):
        write_embeddings()
        with pytest.raises(ConfigError, match="for vectors of 5 numbers, and the class tokens"):
            run(train_sae.main, "--audit", AUDIT)
