"""Acquisition data, subgroups and relevance."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from audits.shortcut.acquisition import read_acquisition
from audits.shortcut.relevance import activations_of, relevance
from audits.shortcut.subgroups import subgroups
from audits.shortcut.uncertainty import resamples
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes, activations, linear_gradient
from pipeline.config import AcquisitionConfig, ConfigError


class TestAcquisition:
    def read(self, root: Path, **changes: object) -> pd.DataFrame:
        asked: dict = {"table": "m.csv", "image": "image", "columns": ["sex", "age"]}
        table = "image,sex,age\n" + "".join(f"i{n},{'fm'[n % 2]},{n}\n" for n in range(9))
        (root / "m.csv").write_text(table + "i9,,\n", encoding="utf-8")
        ids = np.array([f"i{n}" for n in range(11)], dtype=object)
        train = np.arange(11) < 9
        return read_acquisition(root, AcquisitionConfig(**asked | changes), ids, train)

    def test_numbers_become_bands_and_what_is_unknown_is_null(self, tmp_path: Path) -> None:
        found = self.read(tmp_path)
        assert found["sex"].tolist()[:3] == ["f", "m", "f"]
        assert found["age"].value_counts().to_dict() == {
            "0 to 2": 3,
            "above 2 to 4": 2,
            "above 4 to 6": 2,
            "above 6 to 8": 2,
        }
        assert found.iloc[9:].isna().all(axis=None)

    def test_an_id_is_a_text_whatever_it_looks_like(self, tmp_path: Path) -> None:
        (tmp_path / "n.csv").write_text("image,sex\n0012,f\n12,m\n1e3,f\n", encoding="utf-8")
        ids = np.array(["12", "0012", "1e3"], dtype=object)
        config = AcquisitionConfig(table="n.csv", image="image", columns=["sex"])
        found = read_acquisition(tmp_path, config, ids, np.ones(3, dtype=bool))
        assert found["sex"].tolist() == ["m", "f", "f"]

    def test_what_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"x\.csv does not exist; name a CSV"):
            self.read(tmp_path, table="x.csv")
        with pytest.raises(ConfigError, match=r"no column \['site'\], but \['image', 'sex'"):
            self.read(tmp_path, columns=["site"])
        with pytest.raises(ConfigError, match=r"the column sex of .* has none of .*'i0'"):
            self.read(tmp_path, image="sex", columns=["age"])


def test_the_worst_group_comes_first_and_small_ones_not_at_all() -> None:
    positive = np.arange(100) < 50
    sex = pd.Series(np.where(np.arange(100) % 2, "f", "m"))
    sex[[0, 2]] = None
    right = np.ones((2, 100))
    right[:, (sex == "f").to_numpy(dtype=bool) & positive] = 0
    over = resamples(np.arange(100), 20, 0)
    acquisition = pd.DataFrame({"sex": sex, "rare": ["x"] * 20 + [None] * 80})
    table = subgroups(right, positive, over, acquisition, 21)
    assert table[["group", "side", "images"]].iloc[0].tolist() == ["f", "positive", 25]
    assert table["accuracy"].tolist() == [0, 1, 1, 1] and set(table["column"]) == {"sex"}
    assert table[["group", "side", "images"]].iloc[1].tolist() in (
        ["f", "negative", 25],
        ["m", "positive", 23],
    )


def test_relevance_by_hand() -> None:
    # The gradient is w/‖x‖ for w orthogonal to x and to (1, 1, 1).
    head = Head(torch.ones(3), torch.zeros(3), 0.0, torch.eye(3))
    x = torch.tensor([[1.0, 1.0, -2.0], [1.0, 1.0, -2.0]])
    w = torch.tensor([1.0, -1.0, 0.0])
    atoms = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    codes = Codes(torch.tensor([[0, 1], [2, 1]]), torch.tensor([[6.0, 1.0], [9.0, 2.0]]))
    found = relevance(linear_gradient(x, w, head), codes, atoms)
    # R: 6/√6 for 0; −1/√6 and −2/√6 for 1; 0 for 2.
    torch.testing.assert_close(found.share.float(), torch.tensor([6 / 9, 3 / 9, 0.0]))
    torch.testing.assert_close(found.mean.float(), torch.tensor([3.0, -1.5, 0.0]) / 6**0.5)
    torch.testing.assert_close(found.activation.float(), torch.tensor([3.0, 1.5, 4.5]))
    dead = Codes(codes.component, torch.zeros(2, 2))
    with pytest.raises(DoesNotApply, match="no component has any relevance"):
        relevance(linear_gradient(x, w, head), dead, atoms)


def test_activations_of_some_and_of_all_components() -> None:
    codes = Codes(torch.tensor([[3, 1], [0, 0], [1, 0]]), torch.tensor([[2, 5], [0, 0], [4, 0.0]]))
    some = activations_of(codes, torch.tensor([1, 3, 0, 8]))
    assert some.tolist() == [[5, 2, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert activations(codes, 9)[:, [1, 3, 0, 8]].tolist() == some.tolist()
