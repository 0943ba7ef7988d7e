"""`audit completion`: what a shell completes with the script."""

import shutil
import subprocess
from pathlib import Path

import pytest

from audits.command.__main__ import COMMANDS, main

BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "audit.bash"
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", said.append)
        main(["completion", "bash"])
    path.write_text("\n".join(said), encoding="utf-8")
    return path


def completed(script: Path, where: Path, *words: str) -> set[str]:
    """What Bash offers for the last word."""
    typed = " ".join(f"'{word}'" for word in ("audit", *words))
    program = (
        f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; "
        "_shtab_audit; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        [str(BASH), "--norc", "-c", program], cwd=where, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.skipif(BASH is None, reason="Bash is not installed")
def test_bash_completes_commands_options_names_and_files(script: Path, tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    for name in ("birds-mine", "birds-b16", "cats"):
        (tmp_path / "reviews" / f"{name}.csv").touch()
    (tmp_path / "verdicts.csv").touch()
    assert set(COMMANDS) <= completed(script, tmp_path, "")
    assert completed(script, tmp_path, "ver") == {"verify", "versions"}
    assert "--junit" in completed(script, tmp_path, "gate", "--")
    assert completed(script, tmp_path, "review", "birds") == {"birds-mine", "birds-b16"}
    assert "verdicts.csv" in completed(script, tmp_path, "review", "cats", "--take", "ver")
    # The name of a new audit is nobody's.
    assert not completed(script, tmp_path, "add", "birds") & {"birds-mine", "birds-b16"}
