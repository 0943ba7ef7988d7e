"""How much writing the top images of components carry."""

import numpy as np
import pandas as pd
import pytest

from audits.concepts.table import written


def test_top_images_are_compared_with_all_train_images() -> None:
    ids = np.array(["a", "b", "c", "d", "val"])
    scores = np.array([0.1, 0.9, 0.5, 0.5, 7.0])
    train = np.array([True, True, True, True, False])
    top = pd.Series([["b"], ["c", "b"], ["a"], []])
    found = written(scores, train, ids, top)
    # Of four train images "b" is above three and level with itself, "c" above one and level with
    # two; what is no train image counts for nothing.
    assert found[:3] == pytest.approx([3.5 / 4, (3.5 + 2) / 8, 0.5 / 4])
    assert np.isnan(found[3])
