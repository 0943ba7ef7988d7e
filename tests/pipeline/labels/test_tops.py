"""Top images of components, taken up part by part."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attribution.relevance import Codes
from pipeline.labels.tops import TopImages, among_shown, by_chance, top_images


def codes_of(rows: list[list[tuple[int, float]]], k: int = 3) -> Codes:
    """Codes of (component, activation) lists, padded with empty slots."""
    component = torch.zeros(len(rows), k, dtype=torch.long)
    activation = torch.zeros(len(rows), k)
    for row, slots in enumerate(rows):
        for slot, (index, value) in enumerate(slots):
            component[row, slot], activation[row, slot] = index, value
    return Codes(component, activation)


class TestTopImages:
    def test_by_hand(self) -> None:
        codes = codes_of(
            [[(2, 5.0), (1, 1.0)], [(2, 7.0)], [], [(1, 1.0), (2, 6.0)], [(2, 9.0), (4, 2.0)]]
        )
        train = torch.tensor([True, True, True, True, False])
        top = top_images([(codes, train)], components=5, count=2)
        # Component 0 only stands in empty slots; 4 fires on a held-out image only.
        assert top.active_images.tolist() == [0, 2, 3, 0, 0]
        assert top.rows.tolist() == [[-1, -1], [0, 3], [1, 3], [-1, -1], [-1, -1]]
        assert top.activation.tolist() == [[0, 0], [1, 1], [7, 6], [0, 0], [0, 0]]

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 99), n=st.integers(2, 30), at_once=st.integers(1, 9))
    def test_is_the_dense_sort(self, seed: int, n: int, at_once: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        m, k, count = 7, 3, 4
        component = torch.stack([torch.randperm(m, generator=generator)[:k] for _ in range(n)])
        activation = torch.randint(0, 4, (n, k), generator=generator).float()
        dense = torch.zeros(n, m).scatter(1, component, activation)
        parts = [
            (Codes(*part), torch.ones(len(part[0]), dtype=torch.bool))
            for part in zip(component.split(at_once), activation.split(at_once), strict=True)
        ]
        top = top_images(parts, m, count)
        for index in range(m):
            order = dense[:, index].argsort(descending=True, stable=True)
            order = order[dense[order, index] > 0]
            assert top.active_images[index] == len(order)
            assert [row for row in top.rows[index].tolist() if row >= 0] == order[:count].tolist()


def test_rows_among_shown_images_are_of_the_same_images() -> None:
    rows = torch.tensor([[7, 2], [-1, -1], [2, -1], [9, 7]])
    found, shown = among_shown(TopImages(torch.tensor([5, 0, 1, 2]), rows, torch.ones(4, 2)))
    assert shown.tolist() == [2, 7, 9]
    assert found.rows.tolist() == [[1, 0], [-1, -1], [0, -1], [2, 1]]


def test_numbers_by_chance_are_even_and_the_same_in_any_order() -> None:
    number = np.arange(50_000)
    drawn = by_chance(number)
    assert drawn.min() >= 1 and drawn.max() <= 2**24
    assert np.array_equal(by_chance(number[::-1])[::-1], drawn)
    counts, _ = np.histogram(drawn, bins=10, range=(0, 2**24))
    assert abs(counts - 5000).max() < 300  # 4.5 standard deviations
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.02
