"""Numbers of recipes.yaml: raised where results change, and of all code that has a say in them."""

from copy import deepcopy

import pytest
import yaml

from pipeline.artifacts.resume import recipe
from tests.recipes import record
from tests.recipes.results import RECIPES
from tests.test_dag import ROOT, code_of, recipe_of, stages


def written() -> dict:
    return yaml.safe_load((ROOT / "recipes.yaml").read_text(encoding="utf-8"))


def test_every_recipe_has_results_on_record_and_a_stage():
    used = {recipe_of(stage) for stage in stages().values()} - {None}
    assert used == RECIPES.keys() == written()["covers"].keys() == written().keys() - {"covers"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_number_is_raised_where_results_change(name):
    problem = record.problem(name, recipe(name), RECIPES[name]())
    assert problem is None, problem


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_covers_what_its_stages_import(name):
    code = set().union(*(code_of(s) for s in stages().values() if recipe_of(s) == name))
    covered = set(written()["covers"][name])
    assert covered == code, (
        f"recipes.yaml, covers.{name}: add {sorted(code - covered)}, "
        f"take out {sorted(covered - code)}; raise {name} if its results change"
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_result_that_changes_is_noticed(name):
    number, recorded = record.read(name)
    assert record.problem(name, number, recorded) is None
    assert f"run `python -m tests.recipes {name}`" in record.problem(name, number + 1, recorded)
    for key, value in recorded.items():
        other = deepcopy(recorded)
        if isinstance(value, list) and isinstance(value[0], float):
            other[key][0] += 1
        else:
            other[key] = "something else"
        said = record.problem(name, number, other)
        assert f"({key})" in said and f"raise {name} in recipes.yaml to {number + 1}" in said
