"""Which of a classifier's components should not matter, and where nothing says so."""

import pandas as pd
import pytest
import torch

from audits.failures.modes import KIND_MODES
from audits.shortcut.suspects import BESIDE_THE_POINT, Relevance, check_kinds, rank_components
from pipeline.artifacts.gaps import DoesNotApply

KINDS = ["background", "context", "writing", "lesion", None]


def ranked(kinds: list[str | None], named: bool = True) -> pd.DataFrame:
    share = torch.arange(len(kinds), 0, -1, dtype=torch.float64)
    labels = pd.DataFrame(
        {
            "component": range(len(kinds)),
            "label": [f"term {i}" if named else None for i in range(len(kinds))],
            "kind": pd.array(kinds, dtype="string"),
            "top_images": [["a"]] * len(kinds),
        }
    )
    return rank_components(Relevance(share, share, share), labels, top=10)


def vocabulary(*kinds: str | None) -> pd.DataFrame:
    return pd.DataFrame({"term": [f"t{i}" for i in range(len(kinds))], "kind": list(kinds)})


def test_what_has_nothing_to_do_with_a_class_is_suspect() -> None:
    assert ranked(KINDS)["suspect"].tolist() == [True, True, True, False, False]
    assert ranked(KINDS)["suspect"].dtype == bool


def test_the_kinds_are_those_that_findings_go_by() -> None:
    assert set(BESIDE_THE_POINT) == set(KIND_MODES)


def test_a_vocabulary_without_kinds_cannot_judge() -> None:
    with pytest.raises(DoesNotApply, match=r"^the vocabulary has no kinds: a CSV with the columns"):
        check_kinds(ranked([None, None]), vocabulary(None, None))


def test_components_without_a_kind_cannot_be_judged() -> None:
    with pytest.raises(DoesNotApply, match="of the 2 components 2 have a label, and none a label"):
        check_kinds(ranked([None, None]), vocabulary("lesion", None))
    with pytest.raises(DoesNotApply, match="of the 2 components 0 have a label"):
        check_kinds(ranked([None, None], named=False), vocabulary("lesion", None))


def test_one_kind_is_enough_to_judge_by() -> None:
    check_kinds(ranked([None, "lesion"]), vocabulary("lesion", None))
