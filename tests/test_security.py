"""What would let data run code, or tell others of a run, is nowhere in the product.

That weights which would run code are refused, that texts of the data stay texts on pages and that
no file is read outside its folder is tested where it is read or written.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from audits.command import ui

ROOT = Path(__file__).parents[1]
NEVER = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "joblib.load",
    "dill.load",
    "dill.loads",
    "os.system",
    "os.popen",
    "yaml.full_load",
    "yaml.unsafe_load",
    "pandas.read_pickle",
    "pd.read_pickle",
}
WITH = {"torch.load": ("weights_only", "True"), "yaml.load": ("Loader", "LOADER")}
"""Calls that are safe with an argument alone."""
WITHOUT = {"allow_pickle", "shell", "trust_remote_code"}
"""Arguments that are unsafe where they are true."""


def unsafe(source: str) -> Iterator[str]:
    """Calls that would let what they read run code."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in NEVER or name.endswith((".extractall", ".unpack_archive")):
            yield name
        if name in WITH and given.get(WITH[name][0]) != WITH[name][1]:
            yield name
        if any(given.get(word, "False") != "False" for word in WITHOUT):
            yield name


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "pickle.loads(data)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "tar.extractall(folder)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_what_is_looked_for_is_found(source):
    assert list(unsafe(source))


def test_nothing_that_is_read_can_run_code():
    read = [path for floor in ("pipeline", "audits") for path in (ROOT / floor).rglob("*.py")]
    assert len(read) > 200
    found = {str(path): list(unsafe(path.read_text(encoding="utf-8"))) for path in read}
    assert not {path: calls for path, calls in found.items() if calls}


def test_mlflow_listens_on_this_machine_alone_and_tells_nobody(monkeypatch, tmp_path):
    started = {}

    class Noted(subprocess.Popen):
        def __init__(self, command, **how):
            started.update(how, command=command)
            super().__init__([sys.executable, "-c", ""])

    monkeypatch.setattr(subprocess, "Popen", Noted)
    with (tmp_path / "log").open("w") as log:
        ui.start("sqlite:///x.db", 5000, log).wait()
    command = started["command"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert started["env"]["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_dvc_tells_nobody():
    core = (ROOT / ".dvc" / "config").read_text(encoding="utf-8").split()
    assert "analytics = false" in " ".join(core)


def test_workflows_of_github_may_do_no_more_than_comment():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        rights = yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"]
        assert {name for name, right in rights.items() if right == "write"} <= {"pull-requests"}
