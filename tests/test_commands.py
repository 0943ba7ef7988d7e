"""Every command in README.md, docs/ and the help of a module, as typed there.

Each is parsed by the program it is for; those that add audits are run. A command of a program that
nothing here knows fails, so that none is documented untried.
"""

import argparse
import ast
import contextlib
import importlib
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.cli import DvcParserError, parse_args

from audits.command.__main__ import main as audit
from tests.test_dag import stages

ROOT = Path(__file__).parents[1]
PROGRAMS = r"(?:[A-Z_]+=\S+ )*(?:python|audit|dvc|make|git|pip|mlflow|ray|source) \S"
SHELL = {"rm", "mv", "ls", "source"}
"""What a system brings; docs use them as everybody does."""
RAY = {
    "start": {"--head", "--port", "--address", "--disable-usage-stats", "--include-dashboard"},
    "status": set(),
    "stop": set(),
    "get-auth-token": {"--generate"},
}
"""Ray is no dependency; `pytest -m ray` has these parsed by it."""
GIT = {"add", "checkout", "commit", "config", "restore", "show", "switch"}


class ParsedError(Exception):
    """Raised in place of what a command would do."""


def texts() -> Iterator[tuple[str, str]]:
    """Name and content of everything that documents commands."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        yield path.name, path.read_text(encoding="utf-8")
    for package in ("audits", "benchmarks", "pipeline"):
        for path in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            said = [ast.get_docstring(tree, clean=False) or ""]
            for node in tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                    said += [str(node.value.value)] if "EXAMPLE" in ast.unparse(node) else []
            yield str(path.relative_to(ROOT)), "\n".join(said)


def commands(text: str) -> list[str]:
    """Commands in indented lines, continued ones joined, and in backticks."""
    lines = re.sub(r"\\\n\s*", "", text)
    found = []
    for line in lines.splitlines():
        shown = re.match(rf"^ {{2,}}(?:\$ (.+)|({PROGRAMS}.*))$", line)
        if shown:
            # What it does is said after two spaces.
            found.append(re.split(r"\s{2,}", (shown[1] or shown[2]).strip())[0])
    spans = re.findall(rf"`({PROGRAMS}[^`]*)`", text)
    return [*found, *(" ".join(span.split()) for span in spans)]


def documented() -> Iterator[tuple[str, str]]:
    """Section of a document, or file of a module, and each command in it."""
    for name, text in texts():
        own = name.removesuffix("/__main__.py").removesuffix(".py").replace("/", ".")
        for section in text.split("\n## "):
            title = f"{name}, {section.splitlines()[0]}" if name.endswith(".md") else name
            # A module's own name is no command.
            yield from ((title, c) for c in commands(section) if c != f"python -m {own}")


DOCUMENTED = list(documented())


def parse(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a command parsed by its program.

    Raises:
        AssertionError: no program that is tried here, or nothing that it knows.
        SystemExit: the program refuses it.
    """
    words = shlex.split(command, comments=True)
    if words[:2] == ["python", "-m"]:
        words = [word.strip("[]") for word in words]  # options that may be left out
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    words = words[: words.index(">")] if ">" in words else words
    program, *rest = words
    if re.fullmatch(r"(audit|dvc) \w+", command):  # its name
        rest.append("--help")
    if program == "python" and rest[0] == "-c":
        compile(rest[1], "documented", "exec")
    elif program == "python" and rest[0] == "-m":
        _parse_module(rest[1], rest[2:], monkeypatch)
    elif program == "audit":
        _parse_module("audits.command", rest, monkeypatch)
    elif program == "dvc":
        with contextlib.suppress(SystemExit) if "--help" in rest else contextlib.nullcontext():
            parse_args(rest)
        unknown = {w for w in rest if re.fullmatch(r"[a-z_]+@\S+", w)} - _of_known_stages(rest)
        assert not unknown, f"dvc.yaml has no stage of {unknown}"
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in rest if "=" not in word} <= set(targets)
    elif program == "pip":
        _parse_pip(rest)
    elif program == "ray":
        assert {word.partition("=")[0] for word in rest[1:]} <= RAY[rest[0]]
    elif program == "git":
        assert rest[0] in GIT, f"nothing tries `{command}`"
    else:
        assert program in SHELL, f"nothing tries `{command}`"


def _of_known_stages(words: list[str]) -> set[str]:
    return {word for word in words if word.partition("@")[0] in stages()}


def _parse_module(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse_known = argparse.ArgumentParser.parse_args

    def parsed(self, *given, **named):
        parse_known(self, *given, **named)
        raise ParsedError

    package = (ROOT / module.replace(".", "/")).is_dir()
    main = importlib.import_module(f"{module}.__main__" if package else module).main
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    with pytest.raises(SystemExit if "--help" in arguments else ParsedError) as stopped:
        main()
    assert getattr(stopped.value, "code", 0) == 0


def _parse_pip(words: list[str]) -> None:
    assert words[0] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for word in words[1:]:
        if extra := re.fullmatch(r"\.\[(\w+)\]", word):
            assert extra[1] in extras
        elif word != "-e":
            assert any(word in names for names in extras.values()), f"{word} is in no extra"


@pytest.mark.parametrize(("name", "command"), dict.fromkeys(DOCUMENTED))
def test_a_documented_command_is_one_of_its_program(name, command, monkeypatch):
    parse(command, monkeypatch)


@pytest.mark.parametrize("name", dict.fromkeys(n for n, c in DOCUMENTED if "audit add" in c))
def test_audits_are_added_as_documented(name, tmp_path, monkeypatch):
    for file in ("params.yaml", "catalog.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    folder = tmp_path / "data" / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    added = [c for n, c in DOCUMENTED if n == name and re.match(r"audit add \w", c)]
    for command in dict.fromkeys(added):
        if "--dataset" in command:
            audit(shlex.split(command, comments=True)[1:])
            assert (tmp_path / "reviews" / f"{command.split()[2]}.csv").exists()


@pytest.mark.parametrize(
    "command",
    [
        "python -m benchmarks.worlds",
        "audit add x --dataset scenes",
        "dvc repo publish@x",
        "dvc repro publsh@x",
        "make tests",
        "curl http://host",
        "git frobnicate",
        "pip install -e '.[nothing]'",
    ],
)
def test_a_wrong_command_would_be_noticed(command, monkeypatch):
    with pytest.raises((AssertionError, SystemExit, DvcParserError)):
        parse(command, monkeypatch)


def test_commands_are_found_as_docs_write_them():
    text = (
        "Type `dvc repro\n-f`:\n\n    audit add x \\\n      --model y  # why\n    $ foo b   # z\n"
    )
    assert commands(text) == ["audit add x --model y", "foo b", "dvc repro -f"]
