"""Examples in the docstrings of central functions, run."""

import doctest
import importlib

import pytest

EXAMPLES = {
    "pipeline.attribution.head": ["cosine_outputs", "unit"],
    "pipeline.attribution.relevance": ["act_grad", "decode"],
    "pipeline.labels.clarity": ["clarity", "polysemanticity"],
    "pipeline.sae.health": ["density"],
    "audits.auroc": ["auroc"],
    "audits.concepts.interpretability": ["correlation"],
    "audits.robustness.averages": ["average"],
    "audits.robustness.separability": ["separability"],
}
"""Module → its functions that have to have an example."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_give_what_they_say(name):
    module = importlib.import_module(name)
    found = [test for test in doctest.DocTestFinder().find(module, name) if test.examples]
    assert sorted(test.name.removeprefix(f"{name}.") for test in found) == EXAMPLES[name]
    runner = doctest.DocTestRunner(verbose=False)
    for test in found:
        assert runner.run(test).failed == 0, test.name
