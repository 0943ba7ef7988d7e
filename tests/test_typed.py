"""Documented commands, typed as they stand in a fresh clone: of the repository, or of a run.

Which documented commands are typed, here or in the walk through docs/versions.md, and which are
parsed only, and why, is listed here; a command that is in neither list fails. What needs the
results of `make audit` takes those of the folder that CLIP_AUDIT_RUN names, this one by default.
What takes minutes to hours is typed where CLIP_AUDIT_HOURS is set.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_commands import DOCUMENTED
from tests.test_versions_walk import TYPED as WALKED

ROOT = Path(__file__).parents[1]
RUN = Path(os.environ.get("CLIP_AUDIT_RUN", ROOT))
MADE = ("data", "reports", "mlflow.db", "mlartifacts")
NAMES = {
    "dataset NAME": "dataset scenes",
    "NAME": "scenes-tiny",
    "FILE": "~/Downloads/scenes-tiny.csv",
    "DIR": "work",
}
"""What stands for a name of one's own."""
PORT = 5000
PATIENCE = 240  # seconds in which MLflow has to answer

IN_A_CLONE = (
    "audit add imagenet-b32 --dataset imagenet --model vit-b-32-laion2b",
    'python -c "import open_clip; print(open_clip.list_pretrained())"',
    "dvc status",
    "git restore dvc.lock",
    "audit completion bash",
    "audit completion bash > ~/.local/share/bash-completion/completions/audit",
    "audit completion zsh > ~/.zfunc/_audit",
    "audit list",
    "audit list --json",
    "audit diff HEAD",
    "audit diff HEAD~1",
    "audit diff HEAD~1 HEAD --markdown",
    "audit diff HEAD~1 --audit scenes-tiny --html diff.html",
    "audit gate --against HEAD",
    "audit gate scenes-tiny --against HEAD --junit gate.xml --markdown gate.md",
)
OF_A_RUN = (
    'python -m audits.explain --audit scenes-tiny --image photo.jpg --prompt "a photo of a cat" '
    "--html explanations/photo.html",
    "python -m audits.explain --audit scenes-tiny --image data/raw/scenes/val/bat/00003.jpg "
    "--class bat --class bear --html explanations/bat.html",
    "python -m audits.report --audit NAME",
    "python -m audits.publish --sync",
    "audit check scenes-tiny",
    "audit status",
    "audit status scenes-tiny",
    "audit status --json",
    "audit plan scenes-tiny",
    "audit plan scenes-tiny --json",
    'audit concepts scenes-tiny --prompt "a photo of snow" --prompt writing',
    "audit concepts scenes-tiny --image data/raw/scenes/val/bat/00003.jpg --top 3",
    "audit concepts scenes-tiny --prompt bat --json",
    "audit concepts scenes-tiny --prompt writing --html explanations/writing.html",
    "audit export scenes-tiny --sae exported/scenes-sae",
    "audit export scenes-tiny --fiftyone exported/scenes-findings",
    "audit review NAME --take FILE",
    "audit review scenes-tiny --take ~/Downloads/scenes-tiny.csv",
    "audit review scenes-tiny --merge ann.csv bea.csv",
    "audit review scenes-tiny",
    "audit review NAME",
    "audit versions NAME",
    "audit versions lesions-tiny",
    "dvc status -d publish@lesions-tiny",
    "dvc repro --dry",
    "dvc repro prepare",
    "dvc repro shortcut@lesions-tiny",
    "dvc repro publish@NAME",
    "python -m audits.compare --dataset NAME",
    "audit gate scenes-tiny --against /tmp/was/reports",
    "dvc commit -f",
    "dvc commit -f sample check_texts",
    "dvc commit -f pretrain embed perturb train_sae train_further stability",
)
HOURS = r"python -m benchmarks\..*|audit verify .*|make check"
"""Minutes to hours each."""
BROUGHT = r"PHOTOS|FOLDER|ROOT|OLD|photos|\[|sae_training|gpu$|cluster"
"""In those of HOURS that need what is not here (other libraries, a GPU), or say what may be
left out."""
PARSED = {
    r"make (ui)": "typed by a test of its own, for it has to be stopped",
    r"audit ui.*": "has to be stopped; make ui types it",
    r"audit gate --against": "an option's name",
    HOURS: "minutes to hours, typed where they are asked for; the rest needs what is not here",
    r"audit run .*": "runs an audit; typed with a DAG of three stages in test_run",
    r"make (audit|test|setup)|dvc repro": "minutes; `.ci/run` types the first two",
    r"CLIP_AUDIT_PHOTOS=.*": "needs photographs and a model that are not here",
    r"dvc repro .*@.*": "runs an audit: minutes, and a dataset of one's own or a network",
    r"dvc repro -f fetch@mine": "needs a model of one's own",
    r"audit (add|check) (birds|imagenet|objects|skin).*": "run within the process in test_commands",
    r"audit versions lesions-tiny (7f|HEAD).*": "needs commits of one's own",
    r"dvc remote add --local -d store …": "typed without --local in the walk",
    r"dvc (remote add store s3://data|import-url remote://store/birds .*)": "needs a bucket",
    r"dvc gc --all-commits": "asks before it deletes; typed with --force in the walk",
    r"dvc repro --pull": "typed with a target in the walk",
    r"audit diff release .*": "needs the commits that benchmarks.changes makes",
    r"dvc fetch failures (review )?recurrence": "needs results in a remote",
    r"dvc exp run -S audits\.NAME\.KEY=V": "typed with a key in the walk",
    r"dvc commit -f embed@birds-tiny .*": "needs an audit of one's own; others are typed",
    r"python -m tests\.recipes \w+": "records results anew, after a number was raised",
    r"(RAY_\w+=\S+ )*(ray .*|dvc repro)": "needs Ray and another machine; see test_ray",
    r"pip install .*|make (sbom|advisories)": "needs a network",
    r"source .*": "changes the shell that it is typed in",
    r"(audit|dvc) \w+( \w+)?": "a command's name",
}
"""Commands that are parsed only, and why."""


OF_HOURS = [
    command
    for command in dict.fromkeys(command for _, command in DOCUMENTED)
    if re.fullmatch(HOURS, command) and not re.search(BROUGHT, command)
]


def only_parsed(command: str) -> bool:
    return any(re.fullmatch(pattern, command) for pattern in PARSED)


@pytest.mark.parametrize("command", dict.fromkeys(command for _, command in DOCUMENTED))
def test_a_documented_command_is_typed_or_says_why_not(command):
    assert command in IN_A_CLONE + OF_A_RUN + WALKED or only_parsed(command)


@pytest.mark.parametrize("command", IN_A_CLONE + OF_A_RUN)
def test_what_is_typed_is_documented(command):
    assert command in {documented for _, documented in DOCUMENTED}


def clone_to(folder: Path) -> Path:
    """A clone of this repository's commit, with the environment of this one."""
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("needs the environment that `make setup` installs")
    where = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, where], check=True)
    for name, value in (("name", "Ann"), ("email", "ann@example.org")):
        subprocess.run(["git", "config", f"user.{name}", value], cwd=where, check=True)
    (where / ".venv").symlink_to(ROOT / ".venv", target_is_directory=True)
    for name in ("requirements.lock", "pyproject.toml"):
        os.utime(where / name, (0, 0))  # installed since
    return where


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return clone_to(tmp_path_factory.mktemp("typed"))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A clone with the results of `make audit`, and the files that its commands name."""
    if not (RUN / "data" / "audits" / "scenes-tiny").is_dir():
        pytest.skip(f"needs the results of `make audit` in {RUN}")
    where = clone_to(tmp_path_factory.mktemp("typed"))
    for name in MADE:
        if (RUN / name).is_dir():
            shutil.copytree(RUN / name, where / name, dirs_exist_ok=True)
        else:
            shutil.copy(RUN / name, where / name)
    shutil.copy(where / "data/raw/scenes/val/bat/00003.jpg", where / "photo.jpg")
    # What is not in the cache DVC makes again.
    cache = ["dvc", "cache", "dir", "--local", RUN / ".dvc/cache"]
    subprocess.run(cache, cwd=where, env=shell(where), check=True, capture_output=True)
    shutil.copytree(where / "reports", where / "tmp/was/reports")
    downloads = where / "home" / "Downloads"
    downloads.mkdir(parents=True)
    verdicts = (where / "reviews" / "scenes-tiny.csv").read_bytes()
    for path in (downloads / "scenes-tiny.csv", where / "ann.csv", where / "bea.csv"):
        path.write_bytes(verdicts)
    return where


def shell(where: Path) -> dict[str, str]:
    path = f"{where / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    home = where / "home"
    for folder in (".local/share/bash-completion/completions", ".zfunc"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    own = {"PATH": path, "PYTHONPATH": str(where), "HOME": str(home), "COLUMNS": "200"}
    return {**os.environ, **own, "DVC_NO_ANALYTICS": "1"}


def type_in(where: Path, command: str) -> str:
    """What a command prints, typed in a folder with nobody at the keyboard; it has to succeed."""
    for name, value in NAMES.items():
        command = re.sub(rf"\b{name}\b", value, command)
    command = command.replace("/tmp/", f"{where}/tmp/")
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=where,
        env=shell(where),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", IN_A_CLONE)
def test_a_command_is_typed_in_a_fresh_clone(clone, command):
    type_in(clone, command)


@pytest.mark.slow
@pytest.mark.parametrize("command", OF_A_RUN)
def test_a_command_is_typed_after_a_run(run, command):
    type_in(run, command)
    if page := re.search(r"--html (\S+)", command):
        assert "<html" in (run / page[1]).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif("CLIP_AUDIT_HOURS" not in os.environ, reason="takes hours")
@pytest.mark.parametrize("command", OF_HOURS)
def test_a_command_of_hours_is_typed_where_asked_for(run, command):
    type_in(run, command)


@pytest.fixture
def served(clone) -> Iterator[str]:
    """Address of MLflow as `make ui` serves it."""
    with socket.socket() as port:
        if port.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"port {PORT}, which `make ui` serves, is taken")
    log = clone / "ui.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            ["make", "ui"],
            cwd=clone,
            env=shell(clone),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(server, log)
        yield f"http://127.0.0.1:{PORT}/"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def _wait_for(server: subprocess.Popen[bytes], log: Path) -> None:
    """Until MLflow answers, or PATIENCE is at its end."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5):
                return
        except OSError:
            time.sleep(1)


@pytest.mark.slow
def test_make_ui_serves_mlflow(served):
    with urllib.request.urlopen(served, timeout=60) as answer:
        assert answer.status == 200
        assert b"MLflow" in answer.read()
