"""Covering patches, and what it takes of an activation."""

import json
from pathlib import Path

import pytest
import torch

from audits.maps import deletion
from audits.maps.deletion import brightest, cover, drops
from pipeline.sae.model import Sae

REPORTS = Path(__file__).parents[3] / "reports"


def test_the_brightest_tenth_is_counted_in_patches():
    patches = torch.arange(60.0).view(2, 5, 6)
    assert brightest(patches).nonzero().tolist() == [
        *([0, 4, at] for at in (3, 4, 5)),
        *([1, 4, at] for at in (3, 4, 5)),
    ]
    assert brightest(-torch.arange(6.0).view(1, 2, 3)).nonzero().tolist() == [[0, 0, 0]]


def test_covered_patches_have_the_image_s_mean_colour_and_others_stay():
    pixels = torch.rand(2, 3, 6, 9, generator=torch.Generator().manual_seed(0))
    patches = torch.zeros(2, 3, 4, dtype=torch.bool)  # of 2 × 2 pixels; the last column is none's
    patches[0, 1, 3] = patches[1, 2, 0] = True
    found = cover(pixels, patches)
    for row, rows, columns in ((0, slice(2, 4), slice(6, 8)), (1, slice(4, 6), slice(0, 2))):
        mean = pixels[row].mean(dim=(1, 2))
        assert torch.allclose(found[row, :, rows, columns], mean[:, None, None].expand(3, 2, 2))
        changed = (found[row] != pixels[row]).any(dim=0)
        assert changed.sum() == 4
        assert changed[rows, columns].all()


def test_drops_are_fractions_of_the_activation(monkeypatch):
    """A model that sees the mean of each of four patches, and components that each want one."""

    def seen(_model, pixels):
        return torch.nn.functional.avg_pool2d(pixels.mean(dim=1), 4).flatten(1)

    monkeypatch.setattr(deletion, "class_tokens", seen)
    pixels = torch.zeros(3, 3, 8, 8)
    pixels[:, :, :4, 4:] = 4.0  # the mean is 1
    sae = Sae(3, 4, 2)
    sae.encoder_weight.data = torch.tensor([[0.0, 2, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0]])
    sae.encoder_bias.data = torch.tensor([0.0, 4, 0])
    patches = torch.tensor([[0.0, 1], [0, 0]]).expand(3, 2, 2)
    found = drops(None, pixels, patches, sae, [0, 1, 2], torch.Generator().manual_seed(0))
    # From 8 to 2, from 8 to 5; the third does not fire.
    assert found.brightest[:2].tolist() == [6 / 8, 3 / 8]
    assert found.random[:2].tolist() in ([0, 0], [6 / 8, 0], [0, 3 / 8])
    assert found.brightest[2].isnan()
    assert found.random[2].isnan()


@pytest.mark.parametrize(
    "report", sorted(REPORTS.glob("*/metrics.json")), ids=lambda p: p.parent.name
)
def test_maps_of_the_samples_show_what_components_fire_on(report):
    """In the reports that are kept: what a map points at counts for more than what chance does."""
    maps = json.loads(report.read_text(encoding="utf-8")).get("maps")
    if maps is None:
        pytest.skip(f"{report} is of before there were maps: run `make audit`")
    assert maps["maps"] > 50
    assert maps["drop"] > 4 * maps["drop_random"]


@pytest.mark.parametrize("grid", [(1, 1), (2, 3)])
def test_at_least_one_patch_is_covered(grid):
    assert brightest(torch.rand(4, *grid)).flatten(1).sum(dim=1).tolist() == [1] * 4
