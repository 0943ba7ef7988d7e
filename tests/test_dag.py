"""dvc.yaml against the code: a stage depends on what it imports, or on its recipe's number."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
UNTRACKED = re.compile(r"pipeline/(config/\w+|layout|processor|__init__)\.py|audits/__init__\.py")
"""What the first two say of a stage is tracked by its params and paths instead. Which instructions
libraries use is the processor's matter, and stands in the report."""


def stages() -> dict[str, dict]:
    found = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name: stage.get("do", stage) for name, stage in found.items()}


def recipe_of(stage: dict) -> str | None:
    """Name of the recipe in recipes.yaml whose number a stage tracks in place of its code."""
    numbers = [p["recipes.yaml"] for p in stage.get("params", []) if isinstance(p, dict)]
    return numbers[0][0] if numbers else None


def module_file(module: str) -> Path | None:
    path = ROOT / module.replace(".", "/")
    if path.with_suffix(".py").exists():
        return path.with_suffix(".py")
    return path / "__init__.py" if (path / "__init__.py").exists() else None


def imported_files(path: Path, seen: set[Path] | None = None) -> set[Path]:
    """Files of this repository that a module imports, directly or not, with itself."""
    seen = set() if seen is None else seen
    if path in seen or UNTRACKED.fullmatch(str(path.relative_to(ROOT))):
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            file = module_file(name) if name.split(".")[0] in ("pipeline", "audits") else None
            if file is not None:
                imported_files(file, seen)
    return seen


def code_of(stage: dict) -> set[str]:
    """Files with code that a stage's command runs."""
    module = re.search(r"python -m ([\w.]+)", stage["cmd"])
    assert module is not None, stage["cmd"]
    start = module_file(module[1])
    assert start is not None, module[1]
    if start.name == "__init__.py":
        start = start.with_name("__main__.py")
    files = imported_files(start) | imported_files(module_file(module[1]))
    # An __init__.py of nothing but a docstring changes nothing that runs.
    kept = [f for f in files if f.name != "__init__.py" or len(ast.parse(f.read_text()).body) > 1]
    return {str(file.relative_to(ROOT)) for file in kept}


def code_deps(stage: dict) -> set[str]:
    """Files and folders with code, or with templates, that a stage depends on."""
    return {dep for dep in stage["deps"] if dep.startswith(("pipeline/", "audits/"))}


def lies_in(file: str, dep: str) -> bool:
    return file == dep or file.startswith(f"{dep}/")


CHEAP = [name for name, stage in stages().items() if recipe_of(stage) is None]


@pytest.mark.parametrize("name", CHEAP)
def test_a_stage_depends_on_the_code_it_imports(name):
    deps, code = code_deps(stages()[name]), code_of(stages()[name])
    missing = {file for file in code if not any(lies_in(file, dep) for dep in deps)}
    assert not missing, f"deps of {name} lack {sorted(missing)}"


@pytest.mark.parametrize("name", CHEAP)
def test_a_stage_depends_on_no_code_that_it_does_not_import(name):
    code = code_of(stages()[name])
    for dep in code_deps(stages()[name]):
        assert (ROOT / dep).exists(), f"{name} depends on {dep}, which is not there"
        if dep.endswith(".py") or (ROOT / dep).is_dir():
            assert any(lies_in(file, dep) for file in code), f"{name} imports nothing of {dep}"


def test_what_costs_hours_depends_on_a_number_and_on_no_code():
    costly = {name: stage for name, stage in stages().items() if name not in CHEAP}
    hours = {"prepare", "embed", "perturb", "embed_concepts", "train_sae", "train_further"}
    assert hours <= {*costly}
    assert {name: code_deps(stage) for name, stage in costly.items() if code_deps(stage)} == {}


def test_what_can_be_known_beforehand_is_checked_before_anything_costly():
    found = stages()
    assert "data/checked/models/${item}.json" in found["fetch"]["deps"]
    assert "data/checked/texts/${key}.json" in found["prepare"]["deps"]
    assert "data/sources/${key}.json" in found["check_texts"]["deps"]


def test_no_stage_depends_on_the_words_of_other_datasets():
    """A file that is put into vocabularies/ for one dataset makes nothing of another one stale."""
    for name, stage in stages().items():
        words = {dep for dep in stage["deps"] if dep.startswith("vocabularies")}
        assert all("${" in dep for dep in words), name
    table = "vocabularies/descriptions/${item.dataset}.csv"
    assert table in stages()["embed_texts"]["deps"]


def test_imports_are_followed():
    files = {path.name for path in imported_files(ROOT / "audits" / "failures" / "__main__.py")}
    assert {"flags.py", "inputs.py", "expected.py", "relevance.py", "store.py"} <= files
    assert not {"config", "params.py"} & files
