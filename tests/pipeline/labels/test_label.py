"""Names of components on invented embeddings whose answers are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor

from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import vector_column, write_table
from pipeline.attribution.head import unit
from pipeline.labels.clarity import clarity, polysemanticity, two_means
from pipeline.labels.label import (
    Vocabulary,
    alignment,
    label_components,
    read_labeler_embeddings,
    read_vocabulary_embeddings,
)
from pipeline.labels.tops import TopImages


def random_units(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(*shape, generator=generator, dtype=torch.float64))


class TestClarity:
    def test_by_hand(self) -> None:
        # Pairs at 0°, 90°, 90°: the mean of three cosines is 1/3.
        u = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
        torch.testing.assert_close(clarity(u), torch.tensor([1 / 3]))

    def test_is_1_when_identical_and_lowest_when_opposed(self) -> None:
        same = torch.tensor([[0.6, 0.8]]).expand(5, 2)
        assert float(clarity(same)) == pytest.approx(1)
        assert float(clarity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))) == pytest.approx(-1)

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 99), n=st.integers(2, 7), p=st.integers(2, 9))
    def test_is_the_mean_cosine_of_pairs(self, seed: int, n: int, p: int) -> None:
        u = random_units(3, n, p, seed=seed)
        pairs = torch.triu_indices(n, n, offset=1)
        cosines = (u @ u.mT)[:, pairs[0], pairs[1]].mean(dim=1)
        torch.testing.assert_close(clarity(u), cosines)

    def test_one_embedding_is_refused(self) -> None:
        with pytest.raises(ValueError, match="clarity of 1 embeddings"):
            clarity(torch.ones(4, 1, 3))


class TestPolysemanticity:
    def test_is_0_when_identical_1_when_two_unrelated_concepts_2_when_opposite(self) -> None:
        a, b = torch.eye(3)[:2]
        groups = torch.stack(
            [torch.stack(group) for group in ([a] * 5, [a, a, b, b, b], [a, a, -a, a, -a])]
        )
        found = polysemanticity(groups)
        torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 2.0]))

    def test_finds_two_planted_concepts_of_unequal_size(self) -> None:
        centres = torch.eye(6, dtype=torch.float64)[:2]
        member = torch.tensor([0] * 15 + [1] * 5)
        noise = 0.1 * random_units(4, 20, 6)
        u = unit(centres[member] + noise)
        second = two_means(u @ u.mT)
        assert all(row.equal(member == 1) or row.equal(member == 0) for row in second)
        assert (polysemanticity(u) - 1).abs().max() < 0.15

    def test_is_one_minus_clarity_of_the_unit_centres(self) -> None:
        u = random_units(5, 12, 4)
        second = two_means(u @ u.mT)
        centres = torch.stack(
            [
                torch.stack([points[~part].mean(dim=0), points[part].mean(dim=0)])
                for points, part in zip(u, second, strict=True)
            ]
        )
        torch.testing.assert_close(polysemanticity(u), 1 - clarity(unit(centres)))

    def test_clusters_are_as_tight_as_scikit_learns(self) -> None:
        u = unit(random_units(12, 20, 8) + 0.5 * random_units(12, 1, 8, seed=1))
        for points, part in zip(u, two_means(u @ u.mT), strict=True):
            ours = sum(
                float((points[mask] - points[mask].mean(dim=0)).square().sum())
                for mask in (part, ~part)
            )
            theirs = KMeans(2, n_init=10, random_state=0).fit(points.numpy()).inertia_
            assert ours < 1.05 * theirs

    def test_order_of_images_does_not_matter(self) -> None:
        u = unit(torch.cat([random_units(3, 6, 5), 2 + random_units(3, 8, 5, seed=1)], dim=1))
        shuffled = u[:, torch.randperm(14, generator=torch.Generator().manual_seed(0))]
        torch.testing.assert_close(polysemanticity(u), polysemanticity(shuffled))


# Terms along the axes; the empty prompt leans towards the first.
VOCABULARY = Vocabulary(
    pd.DataFrame({"term": ["ruler", "naevus", "hair"], "kind": ["context", "lesion", None]}),
    torch.eye(4)[:3],
    torch.tensor([0.6, 0.0, 0.0, 0.8]),
)


class TestAlignment:
    def test_by_hand(self) -> None:
        # The mean of the two unit embeddings is (1, 1)/√2 along the first axes.
        u = torch.eye(4)
        found = alignment(torch.tensor([[0, 1], [1, 2], [2, 2]]), u, VOCABULARY)
        half = 0.5**0.5
        torch.testing.assert_close(found.score, torch.tensor([half - 0.6 * half, half, 1.0]))
        assert found.term.tolist() == [0, 1, 2]

    def test_runners_up_come_with_their_margins(self) -> None:
        # Of four images, two and one along axes: (2, 1, 0)/√5; the best is named once.
        u = torch.eye(4)[[2, 2, 1]]
        found = alignment(torch.tensor([[0, 1, 2]]), u, VOCABULARY)
        assert found.term.tolist() == [2] and found.runners_up.tolist() == [[1, 0]]
        torch.testing.assert_close(found.margin, torch.tensor([[1.0, 2.0]]) / 5**0.5)

    def test_one_term_has_no_runner_up(self) -> None:
        alone = VOCABULARY._replace(terms=VOCABULARY.terms[:1], t=VOCABULARY.t[:1])
        found = alignment(torch.tensor([[0, 1], [1, 2]]), torch.eye(4), alone)
        assert found.term.tolist() == [0, 0] and found.runners_up.shape == (2, 0)

    def test_can_be_negative(self) -> None:
        u = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
        assert float(alignment(torch.tensor([[0, 0]]), u, VOCABULARY).score) == pytest.approx(-0.8)

    def test_blocks_join(self) -> None:
        u = random_units(9, 4).float()
        rows = torch.randint(9, (2500, 3), generator=torch.Generator().manual_seed(0))
        found = alignment(rows, u, VOCABULARY)
        mean = unit(u[rows].mean(dim=1))
        similarity = mean @ VOCABULARY.t.T - (mean @ VOCABULARY.empty)[:, None]
        torch.testing.assert_close(found.score, similarity.amax(dim=1))
        assert found.term.equal(similarity.argmax(dim=1))


class TestLabelComponents:
    u = torch.eye(4)[[0, 0, 0, 1, 1, 2]]
    ids = np.array(["a", "b", "c", "d", "e", "f"])

    def table(self, rows: list[list[int]], counts: list[int]) -> pd.DataFrame:
        tensor = torch.tensor(rows)
        activation = torch.where(tensor >= 0, 3.0 - torch.arange(2), 0.0)
        return label_components(
            TopImages(torch.tensor(counts), tensor, activation), self.u, self.ids, VOCABULARY
        )

    def test_names_kinds_and_measures(self) -> None:
        table = self.table([[2, 0], [3, 4], [5, 5], [0, 3]], [9, 2, 2, 2])
        assert table["component"].tolist() == [0, 1, 2, 3]
        assert table["label"].tolist()[:3] == ["ruler", "naevus", "hair"]
        assert table["kind"].tolist()[:2] == ["context", "lesion"]
        assert pd.isna(table["kind"][2])
        assert table["alignment"].tolist()[:3] == pytest.approx([0.4, 1.0, 1.0])
        assert table["clarity"].tolist() == pytest.approx([1, 1, 1, 0], abs=1e-6)
        assert table["polysemanticity"].tolist() == pytest.approx([0, 0, 0, 1], abs=1e-6)
        assert table["activations"].tolist() == [9, 2, 2, 2]
        assert table["mean_top20"].tolist() == [2.5] * 4
        assert table["top_images"].tolist()[0] == ["c", "a"]
        assert table["runners_up"].tolist()[1] == ["ruler", "hair"]
        assert table["margins"][1] == pytest.approx([1, 1])

    def test_too_few_images_leave_a_component_unnamed_but_in_its_row(self) -> None:
        table = self.table([[-1, -1], [3, 4], [1, -1]], [0, 5, 1])
        assert table["label"].isna().tolist() == [True, False, True]
        measured = ["alignment", "clarity", "polysemanticity", "mean_top20"]
        assert table.loc[[0, 2], measured].isna().all(axis=None)
        assert table.loc[1, measured].notna().all()
        assert table["top_images"].tolist() == [[], ["d", "e"], ["b"]]
        assert [len(terms) for terms in table["runners_up"]] == [0, 2, 0]

    def test_no_component_fires(self) -> None:
        table = self.table([[-1, -1], [-1, -1]], [0, 0])
        assert len(table) == 2 and table["label"].isna().all()

    def test_survives_the_disk(self, tmp_path: Path) -> None:
        table = self.table([[5, 5], [-1, -1]], [2, 0])
        write_table(tmp_path / "labels.parquet", table)
        read = pd.read_parquet(tmp_path / "labels.parquet")
        assert read["label"].isna().tolist() == [False, True]
        assert read["top_images"].map(list).tolist() == [["f", "f"], []]


class TestReading:
    def test_vocabulary_keeps_the_empty_prompt_apart(self, tmp_path: Path) -> None:
        t = 3 * np.eye(3, 4, dtype=np.float32)
        columns = {"term": ["bat", "", "bow"], "kind": ["x", None, None], "t": vector_column(t)}
        write_table(tmp_path / "vocabulary.parquet", pa.table(columns))
        vocabulary = read_vocabulary_embeddings(tmp_path / "vocabulary.parquet")
        assert vocabulary.terms["term"].tolist() == ["bat", "bow"]
        assert vocabulary.t.equal(torch.eye(4)[[0, 2]])
        assert vocabulary.empty.equal(torch.eye(4)[1])

    def test_vocabulary_without_the_empty_prompt_is_refused(self, tmp_path: Path) -> None:
        columns = {"term": ["bat"], "kind": [None], "t": vector_column(np.ones((1, 2)))}
        write_table(tmp_path / "vocabulary.parquet", pa.table(columns))
        with pytest.raises(ValueError, match=r"vocabulary\.parquet: the empty prompt is in 0 rows"):
            read_vocabulary_embeddings(tmp_path / "vocabulary.parquet")

    def test_embeddings_come_in_the_order_asked_and_unit(self, tmp_path: Path) -> None:
        z = np.array([[2.0, 0, 0], [0, 5.0, 0], [0, 0, 1.0]], dtype=np.float16)
        write_shard(tmp_path, 0, pa.table({"image_id": ["a", "b", "c"], "z": vector_column(z)}))
        found = read_labeler_embeddings(tmp_path, np.array(["c", "a"], dtype=object))
        assert found.tolist() == [[0, 0, 1], [1, 0, 0]]
        with pytest.raises(ValueError, match="lacks 1 images, such as 'd'"):
            read_labeler_embeddings(tmp_path, np.array(["a", "d"], dtype=object))
