"""Health of an SAE: figures by hand, of several blocks as of one."""

import numpy as np
import pytest
import torch

from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.attribution.head import cosine_outputs, unit
from pipeline.attribution.relevance import Codes
from pipeline.sae.health import BINS, Health, Measure, densities, density, edges, firing
from pipeline.sae.model import Sae


@pytest.fixture
def best_class(head):
    prompts = unit(torch.randn(4, 18, generator=torch.Generator().manual_seed(0)))
    return lambda x: cosine_outputs(x, prompts, head).argmax(dim=1)


@pytest.fixture
def case():
    """Embeddings, codes and reconstructions of 9 images."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(9, 24, generator=generator) + 2
    x_hat = x + 0.9 * torch.randn(9, 24, generator=generator)
    activation = torch.rand(9, 3, generator=generator)
    activation[activation < 0.4] = 0
    component = torch.randint(11, (9, 3), generator=generator)
    codes = Codes(component.masked_fill(activation == 0, 0), activation)
    return x, codes, x_hat


def added(case, *cuts, best_class=None):
    """Health of the case's images, cut into blocks."""
    x, codes, x_hat = case
    health = Health(11, best_class=best_class)
    for rows in np.split(np.arange(len(x)), cuts):
        part = Codes(codes.component[rows], codes.activation[rows])
        health.add(x[rows], part, x_hat[rows])
    return health


def explained(x, x_hat):
    health = Health(5)
    codes = Codes(torch.zeros(len(x), 2, dtype=torch.int64), torch.zeros(len(x), 2))
    health.add(x, codes, x_hat)
    return health.explained_variance


def test_explained_variance_by_hand():
    x = torch.tensor([[0.0, 0], [2, 0], [4, 3]])  # mean (2, 1), Σ‖x − x̄‖² = 5 + 1 + 8
    x_hat = x + torch.tensor([[1.0, 0], [0, 0], [0, -2]])  # Σ‖x − x̂‖² = 5
    assert explained(x, x_hat) == pytest.approx(1 - 5 / 14)
    assert explained(x, x) == 1
    assert explained(x, x.mean(dim=0).expand(3, 2)) == pytest.approx(0)
    assert explained(x, -x) < 0


def test_explained_variance_is_exact_far_from_the_origin():
    x = torch.tensor([[0.0, 0], [2, 0], [4, 3]]) + 4096
    x_hat = x + torch.tensor([[1.0, 0], [0, 0], [0, -2]])
    assert explained(x, x_hat) == pytest.approx(1 - 5 / 14)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.ones(1, 2), "are 1, and a variance takes 2"),
        (torch.full((4, 2), 0.1), "all 4 images"),
    ],
)
def test_explained_variance_refuses_what_has_none(x, said):
    with pytest.raises(DoesNotApply, match=said):
        explained(x, x)


def test_a_single_image_has_all_figures_but_explained_variance(case, best_class):
    health, gaps = Health(11, best_class=best_class), Gaps()
    x, codes, x_hat = case
    health.add(x[:1], Codes(*(part[:1] for part in codes)), x_hat[:1])
    figures = health.figures(gaps)
    assert [name for name, value in figures.items() if value is None] == ["explained_variance"]
    assert gaps.reasons.keys() == {"sae.explained_variance"}


def test_no_image_is_no_figure(best_class):
    sae = Sae(11, 24, slots=3)
    measure, gaps = Measure(None, best_class), Gaps()
    assert set(measure.health(sae).figures(gaps).values()) == {None}
    assert gaps.reasons == {"sae": "there is no image outside the train split to measure it on"}
    row = measure(sae)
    assert row.pop("density") == [0] * BINS
    assert all(np.isnan(value) for value in row.values())
    assert len(densities([1], [[0] * BINS], measure.images)) == BINS


def test_of_one_image_every_bin_has_a_width():
    assert density(np.array([0, 1, 1]), 1)[-1] == 2
    assert (np.diff(edges(1)) > 0).all()


def test_cosine_l0_and_alive_by_hand():
    x = torch.tensor([[1.0, 0], [0, 2], [3, 3]])
    x_hat = torch.tensor([[3.0, 0], [1, 1], [-1, -1]])
    # Component 0 stands in empty slots only: it is not alive.
    codes = Codes(torch.tensor([[4, 2], [4, 0], [0, 0]]), torch.tensor([[2.0, 1], [3, 0], [0, 0]]))
    health = Health(5)
    health.add(x, codes, x_hat)
    figures = health.figures(Gaps())
    assert figures["cosine"] == pytest.approx((1 + 0.5**0.5 - 1) / 3)
    assert figures["l0"] == pytest.approx(3 / 3)
    assert figures["alive_fraction"] == pytest.approx(2 / 5)
    assert health.fired.tolist() == [0, 0, 1, 0, 2]
    # Here it is active.
    codes = Codes(torch.tensor([[0, 4], [2, 0], [0, 2]]), torch.tensor([[3.0, 1], [2, 0], [1, 1]]))
    health = Health(6)
    health.add(x, codes, x_hat)
    figures = health.figures(Gaps())
    assert figures["l0"] == pytest.approx(5 / 3)
    assert figures["alive_fraction"] == pytest.approx(3 / 6)


def test_agreement_counts_images_whose_best_class_is_kept(case, best_class):
    x, codes, _ = case
    other = x.clone()
    other[:5] = -3 * x[:5]
    expected = float((best_class(x) == best_class(other)).float().mean())
    assert 0 < expected < 1, "the example must change some classes"

    def agreement(x_hat):
        health = added((x, codes, x_hat), 4, best_class=best_class)
        return health.figures(Gaps())["zero_shot_agreement"]

    assert agreement(other) == pytest.approx(expected)
    assert agreement(x) == 1


def test_agreement_is_only_measured_where_it_is_asked_for(case):
    """Training does not ask: it must not depend on prompts."""
    assert "zero_shot_agreement" not in added(case).figures(Gaps())


@pytest.mark.parametrize("cuts", [(4,), (1, 2, 7), (0, 9)])
def test_blocks_add_up_to_the_whole(cuts, case):
    whole, parts = added(case), added(case, *cuts)
    assert parts.figures(Gaps()) == pytest.approx(whole.figures(Gaps()), rel=1e-6)
    assert parts.fired.tolist() == whole.fired.tolist()
    assert parts.images == 9


def test_an_sae_is_measured_on_all_images(blocks_of, best_class, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(50, 24, generator=generator)
    sae = Sae(11, 24, 3)
    with torch.no_grad():
        sae.atoms.normal_(generator=generator)
        sae.encoder_weight.normal_(generator=generator)
    sae.requires_grad_(False)
    codes = sae.encode(x)
    whole = added((x, codes, sae.reconstruct(codes)), best_class=best_class)
    monkeypatch.setattr("pipeline.sae.health.ROWS", 8)
    measure = Measure(blocks_of(x), best_class)
    found = measure(sae)
    assert found.pop("density") == density(whole.fired, 50)
    assert found == pytest.approx(whole.figures(Gaps()) | whole.deciles(), rel=1e-5)
    assert measure.health(sae).fired.tolist() == whole.fired.tolist()


def test_firing_counts_images_over_all_blocks(blocks_of, monkeypatch):
    sae = Sae(5, 3, 2)
    with torch.no_grad():
        sae.encoder_weight[1:4] = torch.eye(3)
    # Component 0 stands in empty slots only, 2 and 4 are never active.
    x = torch.tensor([[1, 0, 2], [3, 0, 0], [0, 0, 0.5], [-1, -2, -3], [0, -1, 4]])
    monkeypatch.setattr("pipeline.sae.health.ROWS", 2)
    assert firing(sae, blocks_of(x)).tolist() == [0, 2, 0, 3, 0]


def test_density_by_hand():
    bounds = edges(100)
    assert len(bounds) == BINS + 1 == 17
    assert bounds[[0, 8, 16]].tolist() == [-2, -1, 0]
    # One image, a tenth (the first bin above −1), all; −0.7 is 10.4 eighths above −2.
    expected = np.zeros(16, dtype=int)
    expected[[0, 8, 10, 15]] = 1, 1, 1, 2
    assert density(np.array([0, 1, 10, 100, 100, 0, 20]), images=100) == expected.tolist()


def test_deciles_of_the_density_by_hand():
    # Eleven components fire, the most frequent first, at 10^0, 10^−0.2, … 10^−2 of the images.
    fired = np.append(10 ** (5 - 0.2 * np.arange(11)), [0, 0])
    health = Health(13, images=100_000, fired=fired)
    names = ["density_lower_decile", "density_median", "density_upper_decile"]
    assert health.deciles() == pytest.approx(dict(zip(names, [-1.8, -1.0, -0.2], strict=True)))
    silent = Health(13, images=5, fired=np.zeros(13))
    assert list(silent.deciles()) == names
    assert all(np.isnan(value) for value in silent.deciles().values())


def test_densities_have_the_same_bins_in_every_epoch():
    counts = [list(range(16)), list(range(100, 116))]
    table = densities([3, 4], counts, images=100)
    assert list(table.columns) == ["epoch", "low", "high", "count"]
    assert table["epoch"].tolist() == [3] * 16 + [4] * 16
    assert table["count"].tolist() == counts[0] + counts[1]
    for _, epoch in table.groupby("epoch"):
        np.testing.assert_array_equal(epoch["low"], edges(100)[:-1])
        np.testing.assert_array_equal(epoch["high"], edges(100)[1:])
