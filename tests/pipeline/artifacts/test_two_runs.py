"""Two `dvc repro` in one repository at once."""

import subprocess
import sys
import time
from pathlib import Path

STAGE = """
import sys, time
from pathlib import Path
from pipeline.artifacts.store import atomic
runs = Path("runs")
with atomic(Path("data/out.txt")) as temporary:
    temporary.write_text("half")
    runs.write_text(runs.read_text() + "." if runs.exists() else ".")
    while not Path("go").exists():
        time.sleep(0.05)
    temporary.write_text("whole")
"""
PATIENCE = 300


def test_the_second_names_the_first_and_nothing_is_made_twice(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(STAGE, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  slow:\n    cmd: {sys.executable} stage.py\n    outs: [data/out.txt]\n"
    )
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*dvc, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
        )

    with subprocess.Popen([*dvc, "repro", "--quiet"], cwd=tmp_path) as first:
        end = time.monotonic() + PATIENCE
        while not (tmp_path / "runs").exists() and time.monotonic() < end:
            time.sleep(0.05)
        second = run("repro")
        (tmp_path / "go").touch()
        assert first.wait(PATIENCE) == 0
    assert second.returncode != 0
    assert f"(PID {first.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    assert (tmp_path / "data" / "out.txt").read_text() == "whole"
    assert (tmp_path / "runs").read_text() == "."
    assert "up to date" in run("repro").stdout
    assert (tmp_path / "runs").read_text() == "."
