"""An SAE as it is served, and its files."""

import pytest
import torch
from safetensors.torch import load_file

from pipeline.sae import files
from pipeline.sae.model import Sae, encode_blocks


def hand_made(slots=2, threshold=0.0):
    """Three components along the axes and a fourth against the first; b = (1, 0, 0).

    The encoder's bias takes what b adds, so that activations are coordinates of x − b.
    """
    sae = Sae(4, 3, slots, threshold)
    with torch.no_grad():
        sae.atoms.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]]))
        sae.encoder_weight.copy_(sae.atoms)
        sae.bias.copy_(torch.tensor([1.0, 0, 0]))
        sae.encoder_bias.copy_(torch.tensor([-1.0, 0, 0, 1]))
    return sae.requires_grad_(False)


def test_encode_keeps_the_largest_and_leaves_empty_slots():
    codes = hand_made().encode(torch.tensor([[3.0, 5, 1], [-2, 0, 0], [1, 0, 0]]))
    assert codes.component.tolist() == [[1, 0], [3, 0], [0, 0]]
    assert codes.activation.tolist() == [[5, 2], [3, 0], [0, 0]]


def test_encode_drops_what_is_not_above_the_threshold():
    codes = hand_made(3, threshold=2.0).encode(torch.tensor([[3.0, 5, 2.5], [-2, 1, 0]]))
    assert codes.component.tolist() == [[1, 2, 0], [3, 0, 0]]
    assert codes.activation.tolist() == [[5, 2.5, 0], [3, 0, 0]]


def test_reconstruct_adds_atoms_and_bias():
    sae = hand_made()
    x = torch.tensor([[3.0, 5, 0], [-2, 0, 4], [1, 0, 0]])
    assert torch.equal(sae.reconstruct(sae.encode(x)), x)


def test_blocks_encode_as_the_whole():
    sae = hand_made()
    x = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    whole, blocks = sae.encode(x), encode_blocks(sae, x, rows=4)
    assert torch.equal(whole.component, blocks.component)
    torch.testing.assert_close(whole.activation, blocks.activation)


def test_an_sae_survives_the_disk(tmp_path):
    sae = hand_made(3, threshold=0.1)
    files.save(sae, tmp_path / "sae", {"seed": 7, "slots": 99})
    read = files.load(tmp_path / "sae")
    assert (read.slots, read.threshold) == (3, 0.1)
    assert not any(parameter.requires_grad for parameter in read.parameters())
    expected = {name: value.tolist() for name, value in sae.state_dict().items()}
    assert {name: value.tolist() for name, value in read.state_dict().items()} == expected
    assert set(load_file(tmp_path / "sae" / "sae.safetensors")) == set(expected)
    assert '"seed": 7' in (tmp_path / "sae" / "config.json").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [('"slots"', '"slot"', r"lacks \['slots'\]"), ('"width": 3', '"width": 8', "does not fit")],
)
def test_a_config_that_does_not_fit_is_refused(tmp_path, old, new, said):
    files.save(hand_made(), tmp_path, {})
    path = tmp_path / "config.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=said):
        files.load(tmp_path)
