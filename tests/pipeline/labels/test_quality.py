"""What names are worth, on images whose answers are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from pipeline.artifacts.store import write_table
from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes, activations
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.labels import quality
from pipeline.labels.label import Vocabulary, label_components, measure_names, take_up
from pipeline.labels.quality import (
    Background,
    Images,
    chance,
    cosines,
    deal,
    detection,
    fresh_rows,
    worst_rank,
)
from pipeline.labels.tops import among_shown

NAN = float("nan")


class TestDetection:
    def test_by_hand(self) -> None:
        values = torch.tensor([[0.9, NAN, 0.3], [0.5, 0.5, NAN]])
        others = torch.tensor([[0.1, 0.3, 0.9, 0.2], [0.5, 0.5, 0.7, 0.1]])
        counted = torch.tensor([[True, True, True, False], [True, True, True, True]])
        # 0.9 is above two and ties one of three, 0.3 above one and ties one: (2.5 + 1.5)/6.
        # 0.5 ties two and is above one of four, twice: (1 + 1) * 2/8.
        found = detection(values, others, counted)
        assert found.tolist() == pytest.approx([4 / 6, 0.5])

    def test_is_scikit_learns_with_ties(self) -> None:
        generator = torch.Generator().manual_seed(0)
        values = torch.randint(0, 9, (3, 20), generator=generator) / 10
        others = torch.randint(0, 9, (3, 31), generator=generator) / 10
        counted = torch.rand(3, 31, generator=generator) < 0.7
        for row, found in enumerate(detection(values, others, counted).tolist()):
            rest = others[row][counted[row]]
            truth = [1] * 20 + [0] * len(rest)
            assert found == pytest.approx(roc_auc_score(truth, torch.cat([values[row], rest])))

    def test_what_rounding_decides_is_a_tie(self) -> None:
        near = torch.tensor([[0.3000001, 0.2999999]])
        assert detection(near, torch.full((1, 3), 0.3), torch.ones(1, 3).bool()).tolist() == [0.5]

    def test_of_nothing_is_undefined(self) -> None:
        others = torch.tensor([[0.1, 0.2]])
        assert detection(torch.tensor([[NAN]]), others, torch.ones(1, 2).bool()).isnan().all()
        assert detection(torch.tensor([[0.3]]), others, torch.zeros(1, 2).bool()).isnan().all()


class TestQuality:
    """Four images along two axes; component 0 fires on the last two."""

    t = torch.eye(2)
    u = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])

    def of(self, codes: Codes, term: list[int], cosine: Tensor, least: int = 2) -> list[float]:
        background = Background(self.u, codes)
        found = quality.quality(cosine, torch.tensor(term), background, self.t, least)
        return [round(float(value), 6) for value in found]

    def test_of_several_components(self) -> None:
        # Slots: component 1 fires on all images, 2 on none, 3 on the first.
        codes = Codes(
            torch.tensor([[1, 3], [1, 0], [1, 0], [1, 0]]),
            torch.tensor([[1.0, 2.0], [1.0, 0.0], [1.0, 3.0], [1.0, 4.0]]),
        )
        cosine = torch.tensor([[0.9, 0.7, 0.5], [0.9, 0.9, 0.9], [0.9, 0.7, NAN], [0.9, NAN, NAN]])
        found = self.of(codes, [1, 1, 0, 1], cosine)
        # Against 0 and 0.6, by term 1, the 0.5 is below one of two; against all four by term 0
        # (1, 0.8, 0.6, 0), 0.9 is above three and 0.7 above two.
        assert found[0] == pytest.approx(5 / 6, abs=1e-6)
        assert found[2] == pytest.approx(5 / 8)
        # One that fires everywhere tells nothing, nor does one image.
        assert np.isnan(found[1]) and np.isnan(found[3])

    def test_needs_a_name_and_enough_images(self) -> None:
        codes = Codes(torch.tensor([[0], [0], [0], [0]]), torch.tensor([[0.0], [0], [1], [1]]))
        cosine = torch.tensor([[0.9, 0.7, NAN]])
        assert self.of(codes, [1], cosine) == [1.0]
        assert np.isnan(self.of(codes, [-1], cosine)).all()
        assert np.isnan(self.of(codes, [1], cosine, least=3)).all()


def test_fresh_images_share_no_group_with_voters() -> None:
    group = torch.tensor([0, 0, 1, 2, 2, 3])
    drawn = torch.tensor([[5, 1, 3, 2], [4, 2, -1, -1]])
    voters = torch.tensor([[0, 3], [-1, -1]])
    # 1 is of the group of 0, 3 voted; a component without voters keeps all of its images.
    assert fresh_rows(drawn, voters, group).tolist() == [[5, 2, -1, -1], [4, 2, -1, -1]]


class TestDeal:
    def test_goes_round_all_names(self) -> None:
        term = torch.tensor([3, -1, 0, 2, 1, -1, 4])
        dealt = deal(term)
        assert sorted(dealt.tolist()) == sorted(term.tolist())
        assert dealt[[1, 5]].tolist() == [-1, -1]
        assert (dealt != term)[term >= 0].all()

    def test_nobody_is_dealt_the_own_name(self) -> None:
        assert deal(torch.tensor([2, 2, -1, 2])).tolist() == [-1, -1, -1, -1]
        assert deal(torch.tensor([5])).tolist() == [-1]
        assert deal(torch.tensor([-1, -1])).tolist() == [-1, -1]


def test_chance_is_what_one_in_twenty_reaches() -> None:
    assert chance(np.array([NAN, *np.linspace(0, 1, 101)])) == pytest.approx(0.95)
    assert chance(np.array([0.4, NAN, 0.7, 0.2])) == 0.7
    assert np.isnan(chance(np.array([NAN, NAN])))


def test_rank_is_that_of_the_worse_half() -> None:
    t = torch.eye(3)
    halves = torch.tensor([[[0.9, 0.1, 0.3], [0.5, 0.5, 0.1]], [[0.8, 0.1, 0.2], [0.6, 0.4, 0.5]]])
    # Component 0 is term 0 in both halves. Component 1 as term 1 ties term 0, then is the last.
    assert worst_rank(halves, torch.tensor([0, 1]), t).tolist() == [1, 3]
    assert worst_rank(halves[:1], torch.tensor([0, 1]), t).tolist() == [1, 1]


class World:
    """Sixty images of three things a dataset away: components 0 and 1 fire on one thing each,
    component 2 most on some of the third, but weakly on the others; 3 never fires."""

    count, components = 4, 4

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        thing = np.arange(60) % 3
        z = np.eye(5)[thing] + 0.3 * rng.standard_normal((60, 5))
        self.ids = np.array([f"i{n}" for n in range(60)], dtype=object)
        # Shards of the labeler come in an order of their own, with images of nobody's.
        order = rng.permutation(60)
        for number, part in enumerate(np.split(order, [7, 30])):
            ids = [*self.ids[part], f"other{number}"]
            table = vector_table(ids, {"z": np.vstack([z[part], np.ones(5)]).astype(np.float32)})
            write_vectors(folder, number, [table])
        self.u = unit(torch.from_numpy(z).float())
        dense = np.zeros((60, self.components))
        for component in (0, 1):
            dense[thing == component, component] = rng.random(20) + 0.5
        dense[np.flatnonzero(thing < 2)[:30], 2] = 0.1 + 0.1 * rng.random(30)
        dense[np.flatnonzero(thing == 2)[:8], 2] = 1 + rng.random(8)
        self.dense = torch.from_numpy(dense).float()
        top = self.dense.topk(3, dim=1)
        self.codes = Codes(top.indices, top.values)
        self.images = Images(folder, pd.Index(self.ids))
        terms = pd.DataFrame({"term": ["a", "b", "c", "d"], "kind": None})
        self.vocabulary = Vocabulary(terms, torch.eye(5)[:4], torch.eye(5)[4])
        self.train = torch.arange(60) < 48
        self.halves = [self.train & (torch.arange(60) // 3 % 2 == half) for half in (0, 1)]

    def table(self, halves: list[Tensor], at_once: int = 17) -> pd.DataFrame:
        parts = zip(*(part.split(at_once) for part in self.codes), strict=True)
        rows = np.arange(60)
        size = (self.components, self.count)
        taken = take_up((Codes(*part) for part in parts), self.train, halves, rows, size)
        top, shown = among_shown(taken.top)
        table = label_components(top, self.u[shown], self.ids[shown.numpy()], self.vocabulary)
        background = Background(self.u, taken.background)
        group = torch.arange(60)
        return measure_names(table, taken, group, self.images, background, self.vocabulary)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("labeler"))


class TestMeasureNames:
    def test_is_the_auroc_on_all_images_that_did_not_vote(self, world: World) -> None:
        table = world.table(world.halves)
        assert table["label"].tolist()[:3] == ["a", "b", "c"]
        fires = activations(world.codes, 4) > 0
        for row in table[:3].itertuples():
            voted = np.isin(world.ids, row.top_images)
            cosine = world.u @ world.vocabulary.t["abc".index(row.label)]
            expected = roc_auc_score(fires[~voted, row.component], cosine[~voted])
            assert row.name_auroc == pytest.approx(expected, abs=1e-4)
        assert np.isnan(table["name_auroc"][3])

    def test_a_name_that_its_images_alone_give_does_not_fit(self, world: World) -> None:
        table = world.table(world.halves)
        assert table["alignment"][2] > 0.5
        assert table["name_fits"].tolist() == [True, True, False, pd.NA]
        # Component 2 by the name a or b, or 0 and 1 by one that does not describe them.
        assert table["name_chance"].nunique() == 1 and table["name_chance"][0] < 0.8

    def test_names_survive_where_both_halves_give_them(self, world: World) -> None:
        ranks = world.table(world.halves)["name_rank"]
        assert ranks.tolist()[:2] == [1, 1] and pd.isna(ranks[3])
        third = torch.arange(60) % 3 == 2
        without = [world.train & ~third, world.train & third]
        # Component 0 fires nowhere in the second half; 2 is another thing in the first.
        ranks = world.table(without)["name_rank"]
        assert pd.isna(ranks[0]) and ranks[2] > 1

    def test_without_halves_there_are_no_ranks(self, world: World) -> None:
        assert world.table([])["name_rank"].isna().all()

    def test_parts_make_no_difference(self, world: World, tmp_path: Path) -> None:
        for name, at_once in (("a", 17), ("b", 60), ("c", 1)):
            write_table(tmp_path / f"{name}.parquet", world.table(world.halves, at_once))
        whole = (tmp_path / "a.parquet").read_bytes()
        assert all((tmp_path / f"{name}.parquet").read_bytes() == whole for name in "bc")

    def test_nothing_is_named(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(world, "count", 50)
        table = world.table(world.halves)
        measured = ["label", "name_auroc", "name_chance", "name_fits", "name_rank"]
        assert table[measured].isna().all(axis=None)

    def test_cosines_need_the_images(self, world: World) -> None:
        rows = torch.tensor([[0, 59], [5, -1]])
        term = torch.tensor([1, 0])
        (found,) = cosines(world.images, rows, world.vocabulary.t, [term])
        torch.testing.assert_close(found[0], world.u[[0, 59], 1])
        torch.testing.assert_close(found[1, :1], world.u[[5], 0])
        assert found[1, 1].isnan()
        torch.testing.assert_close(world.images.mean(rows[:1]), world.u[[0, 59]].mean(0)[None])
