"""Checkpoints: whole or not at all, and what they bring back."""

import pytest
import torch

from pipeline.sae import checkpoint
from pipeline.sae.trainee import Frame, Trainee


def steps(trainee, optimizer, count):
    """Some steps of training on invented tokens."""
    for seed in range(count):
        x = torch.randn(5, 7, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        step = trainee(x, torch.full((5,), 0.2), torch.zeros(12, dtype=torch.bool))
        step.loss.backward()
        optimizer.step()
        trainee.note(step.fired, 5, step.threshold)


@pytest.fixture
def begun(sae_config):
    """A trainee and its optimizer after some steps, of a seed."""

    def build(seed, count):
        config = sae_config(kind="batch_topk")
        frame = Frame(torch.full((7,), 0.1 * seed), 2.0, 2.0)
        trainee = Trainee(config, frame, torch.Generator().manual_seed(seed))
        optimizer = torch.optim.AdamW(trainee.parameters(), lr=0.01)
        steps(trainee, optimizer, count)
        return trainee, optimizer

    return build


def state(trainee, optimizer):
    """All numbers of both."""
    moments = optimizer.state_dict()["state"]
    found = {f"{i} {name}": value for i, part in moments.items() for name, value in part.items()}
    return {name: value.tolist() for name, value in (trainee.state_dict() | found).items()}


CURVES = [{"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 1e-300}]


@pytest.mark.parametrize("steps_before", [0, 2])
def test_a_checkpoint_brings_everything_back(begun, steps_before, tmp_path):
    saved = begun(1, 3)
    checkpoint.save(tmp_path, *saved, CURVES)
    other = begun(2, steps_before)
    assert state(*other) != state(*saved)
    assert checkpoint.restore(tmp_path, *other) == CURVES
    assert state(*other) == state(*saved)
    assert not torch.isnan(other[0].threshold)
    # What follows is the same too.
    steps(*saved, 2)
    steps(*other, 2)
    assert state(*other) == state(*saved)


def test_where_there_is_none_nothing_changes(begun, tmp_path):
    trainee, optimizer = begun(1, 2)
    before = state(trainee, optimizer)
    for folder in (None, tmp_path):
        assert checkpoint.restore(folder, trainee, optimizer) == []
    checkpoint.save(None, trainee, optimizer, CURVES)
    assert list(tmp_path.iterdir()) == []
    assert state(trainee, optimizer) == before


def test_a_run_killed_while_it_writes_keeps_the_checkpoint_before(begun, tmp_path, monkeypatch):
    saved = begun(1, 2)
    checkpoint.save(tmp_path, *saved, CURVES[:1])
    expected = state(*saved)

    def half(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path, *begun(1, 4), CURVES)
    other = begun(2, 0)
    assert checkpoint.restore(tmp_path, *other) == CURVES[:1]
    assert state(*other) == expected
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.FILE]


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_damaged_checkpoint_is_named(begun, size, tmp_path):
    checkpoint.save(tmp_path, *begun(1, 2), CURVES)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=rf"{path} cannot be read: .*remove it"):
        checkpoint.restore(tmp_path, *begun(2, 0))
