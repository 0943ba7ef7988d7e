"""The house of docs/development.md: a folder for each thing, and none above its users."""

import ast
import re
import tomllib
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FLOORS = ("pipeline", "audits")


@cache
def modules() -> dict[str, Path]:
    """Every module and package of the product by its dotted name."""
    found = {}
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the product that a module imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                found.add(full if full in modules() else node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return frozenset(found & set(modules()))


def room(module: str) -> str:
    """The package that a module lies in, or the module itself where it lies beside the packages."""
    return ".".join(module.split(".")[:2])


def is_package(name: str) -> bool:
    return modules()[name].name == "__init__.py"


@cache
def doors() -> dict[str, set[str]]:
    """Room → the rooms that it imports from."""
    found: dict[str, set[str]] = {room(module): set() for module in modules() if "." in module}
    for module in modules():
        found.setdefault(room(module), set()).update(
            room(used) for used in imports(module) if "." in used and room(used) != room(module)
        )
    return found


def within_reach(start: str) -> set[str]:
    """Rooms that a room imports from, directly or not."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for used in doors()[waiting.pop()] - reached:
            reached.add(used)
            waiting.append(used)
    return reached


def stage_modules() -> dict[str, str]:
    """Name of each stage → the module or package that its command runs."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    commands = {name: stage.get("do", stage)["cmd"] for name, stage in stages.items()}
    return {name: re.search(r"python -m ([\w.]+)", cmd)[1] for name, cmd in commands.items()}


@pytest.mark.parametrize("start", sorted(doors()))
def test_no_room_imports_from_itself_by_a_detour(start):
    assert start not in within_reach(start)


def test_the_pipeline_knows_no_audit():
    assert not [
        (module, used)
        for module in modules()
        for used in imports(module)
        if module.startswith("pipeline") and used.startswith("audits")
    ]


@pytest.mark.parametrize("stage, module", sorted(stage_modules().items()))
def test_a_stage_is_found_by_its_name(stage, module):
    """`audits.<stage>`, or a module of that name in a package of the pipeline."""
    assert module.split(".")[-1] == stage.removesuffix("_comparison")
    if module.startswith("audits."):
        assert f"{module}.__main__" in modules()


def test_what_lies_beside_the_packages_is_used_by_two_of_them():
    for name in modules():
        if name.count(".") == 1 and not is_package(name):
            users = {room(module) for module in modules() if name in imports(module)} - {name}
            # What a package imports itself is for all that is in it.
            assert len(users) >= 2 or name.split(".")[0] in users, (
                f"{name} is used by {users or 'nobody'}: move it there"
            )


def test_tests_lie_as_what_they_test():
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        assert folder == Path() or (ROOT / folder / "__init__.py").exists(), path


def test_the_command_audit_is_where_the_package_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for place in project["scripts"].values():
        module, _, function = place.partition(":")
        assert callable(getattr(import_module(module), function))
