"""What stages fix before they run."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy  # its linear algebra has threads of its own
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.artifacts import stage
from pipeline.artifacts.stage import pick_device, set_threads, train_deterministically
from pipeline.sae import files as saes


def machine(monkeypatch, cuda=False, mps=False):
    """A machine that has these devices."""
    there = {"cuda": cuda, "mps": mps}
    for name, here in there.items():
        monkeypatch.setattr(
            getattr(stage.torch if name == "cuda" else stage.torch.backends, name),
            "is_available",
            lambda here=here: here,
        )


@pytest.mark.parametrize(
    ("there", "device"), [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": True}, "cuda")]
)
def test_auto_takes_the_fastest_device(monkeypatch, there, device):
    machine(monkeypatch, **there)
    assert pick_device("auto", "sae.device") == device
    assert pick_device(device, "sae.device") == device
    assert pick_device("cpu", "sae.device") == "cpu"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    machine(monkeypatch, mps=True)
    with pytest.raises(ValueError, match=r"sae\.device is 'cuda'.*it has \['mps', 'cpu'\]"):
        pick_device("cuda", "sae.device")


def test_training_has_cublas_take_its_workspaces_in_order(monkeypatch):
    asked = []
    monkeypatch.setattr(stage.torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(stage.torch.utils, "deterministic", SimpleNamespace())
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    train_deterministically()
    assert asked == [True]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    train_deterministically()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_the_number_of_threads_is_that_of_params_whatever_the_environment_says():
    before = stage.torch.get_num_threads()
    try:
        with threadpool_limits(1):  # as OMP_NUM_THREADS=1 has it
            set_threads(2, seed=0)
            assert {one["num_threads"] for one in threadpool_info()} == {2}
    finally:
        stage.torch.set_num_threads(before)


def ended_by(capsys, what):
    """What a stage that ends so leaves on the screen."""
    with pytest.raises(Exception) as caught:
        what()
    stage._say(caught.type, caught.value, caught.tb)
    return capsys.readouterr().err


def test_what_the_workflow_has_words_for_is_said_without_a_traceback(capsys, tmp_path):
    gone = tmp_path / "gone.parquet"
    said = ended_by(capsys, gone.read_bytes)
    assert said == f"[Errno 2] No such file or directory: '{gone}'\n"
    (tmp_path / "config.json").write_text("{}")
    said = ended_by(capsys, lambda: saes.load(tmp_path))
    assert said.endswith("run `dvc repro` to train it anew\n") and "Traceback" not in said
    for fault in (lambda: numpy.ones(3).reshape(2, 2), lambda: int("x")):
        assert "Traceback" in ended_by(capsys, fault)


def test_a_stage_ends_with_the_key_that_is_wrong():
    command = [sys.executable, "-m", "pipeline.sae.encode", "--audit", "nobody"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "nobody" in done.stderr and "Traceback" not in done.stderr


def test_a_stage_that_is_stopped_says_so_in_a_word():
    program = (
        "import sys; from pipeline.artifacts import stage\n"
        "sys.excepthook = stage._say\n"
        "raise KeyboardInterrupt"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "stopped\n")
