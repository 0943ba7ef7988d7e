"""Training of an SAE: one contract for all kinds, killed runs, several devices."""

import multiprocessing
import signal
from contextlib import contextmanager

import pandas as pd
import pytest
import torch

from pipeline.sae import files, training
from pipeline.sae.health import DENSITY, Measure
from pipeline.sae.model import encode_blocks
from pipeline.sae.trainee import Trainee

KINDS = ["topk", "batch_topk", "matryoshka"]


def nothing(sae):
    """Measure nothing."""
    return {}


def bits(sae):
    """All that an SAE is."""
    state = {name: value.numpy().tobytes() for name, value in sae.state_dict().items()}
    return state | {"slots": sae.slots, "threshold": sae.threshold}


def lengths(sae):
    """How far atoms are from length 1."""
    return {"off": float((sae.atoms.norm(dim=1) - 1).abs().max())}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads wait for each other longer than such small products take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def blocks(blocks_of, mixtures):
    return blocks_of(mixtures)


@pytest.fixture(scope="module")
def trained(kind, blocks, sae_config):
    """An SAE of each kind, everything that training offers switched on."""
    config = sae_config(
        kind=kind, epochs=8, warmup=3, decay_after=[7], auxk=0.03, revive_after=[2, 4]
    )
    return (*training.train(blocks, config, 0, nothing), config)


def test_training_improves_and_tells_its_course(trained):
    _, curves, _ = trained
    assert list(curves.columns) == ["epoch", "loss", "dead_fraction"]
    assert curves["epoch"].tolist() == list(range(1, 9))
    assert curves["loss"].iloc[-1] < 0.7 * curves["loss"].iloc[0]


def test_atoms_are_unit_after_every_step(kind, blocks, sae_config):
    # One step an epoch, so that the SAE is measured after every step.
    config = sae_config(kind=kind, batch_size=100, epochs=5, learning_rate=0.5)
    _, curves = training.train(blocks, config, 0, lengths)
    assert curves["loss"].nunique() == 5
    assert curves["off"].max() < 1e-6


def test_codes_fill_the_slots_at_most(trained, mixtures):
    sae, _, config = trained
    active = (sae.encode(mixtures).activation > 0).sum(dim=1)
    assert sae.slots == (12 if config.kind == "batch_topk" else 3)
    assert 0 < active.max() <= sae.slots
    if config.kind == "batch_topk":
        assert sae.threshold > 0
        assert active.float().mean() == pytest.approx(config.k, rel=0.2)
        assert len(active.unique()) > 1


def test_codes_of_an_image_do_not_depend_on_its_batch(trained, mixtures):
    sae, _, _ = trained
    together = sae.encode(mixtures)
    for rows in (1, 5, 64):
        apart = encode_blocks(sae, mixtures, rows=rows)
        assert torch.equal(apart.component, together.component)
        torch.testing.assert_close(apart.activation, together.activation)


def test_an_sae_survives_the_disk(trained, tmp_path):
    sae, _, config = trained
    files.save(sae, tmp_path / "sae", {**config.model_dump(), "seed": 0})
    assert bits(files.load(tmp_path / "sae")) == bits(sae)


def test_one_seed_one_sae(trained, blocks):
    sae, curves, config = trained
    again, same_curves = training.train(blocks, config, 0, nothing)
    assert bits(again) == bits(sae)
    assert same_curves.equals(curves)
    other, _ = training.train(blocks, config, 1, nothing)
    assert bits(other) != bits(sae)


class Killed(Exception):
    """A run ends."""


def killed_in(epoch, measure):
    """The same measure, during which a run is killed in its so manieth epoch."""
    calls = []

    def killing(sae):
        calls.append(None)
        if len(calls) == epoch:
            raise Killed
        return measure(sae)

    return killing


def measure_on(blocks):
    """Health on some images."""
    return Measure(blocks)


@pytest.mark.parametrize("epoch", [3, 4])
def test_a_killed_run_goes_on_as_if_it_had_not_been(kind, epoch, blocks, sae_config, tmp_path):
    config = sae_config(
        kind=kind,
        components=60,
        k=1,
        epochs=6,
        warmup=12,
        decay_after=[4],
        auxk=0.1,
        dead_after=0.5,
        revive_after=[2],
    )
    measure = measure_on(blocks)
    whole, curves = training.train(blocks, config, 0, measure)
    assert curves["dead_fraction"][1] > 0, "the example must revive components"
    assert len({tuple(counts) for counts in curves[DENSITY]}) > 2, "densities must differ"
    with pytest.raises(Killed):
        training.train(blocks, config, 0, killed_in(epoch, measure), tmp_path)
    sae, told = training.train(blocks, config, 0, killed_in(9, measure), tmp_path)
    assert bits(sae) == bits(whole)
    pd.testing.assert_frame_equal(told, curves, check_exact=True)


def test_a_run_that_was_done_is_not_done_again(blocks, sae_config, tmp_path):
    sae, curves = training.train(blocks, sae_config(), 0, lengths, tmp_path)
    again, told = training.train(blocks, sae_config(), 0, killed_in(1, lengths), tmp_path)
    assert bits(again) == bits(sae)
    assert told.equals(curves)


def test_a_loss_that_is_no_number_names_the_epoch(blocks, sae_config):
    config = sae_config(batch_size=100, learning_rate=1e38)
    with pytest.raises(ValueError, match=r"loss is (nan|inf) in epoch 2.*learning_rate"):
        training.train(blocks, config, 0, nothing)


@pytest.mark.parametrize("kind", ["topk", "batch_topk", "matryoshka"])
def test_where_memory_is_short_fewer_tokens_choose_at_a_time(kind, blocks, sae_config, monkeypatch):
    config = sae_config(kind=kind, auxk=0.03, dead_after=0.2)
    _, expected = training.train(blocks, config, 0, nothing)
    product, sizes = Trainee.pre_activations, []

    def hungry(self, framed):
        sizes.append(len(framed))
        if len(framed) > 9:
            raise torch.OutOfMemoryError("tried to allocate 9 GiB")
        return product(self, framed)

    monkeypatch.setattr(Trainee, "pre_activations", hungry)
    _, found = training.train(blocks, config, 0, nothing)
    # Halved until it fits, and not tried again.
    assert sizes[0] > 9
    assert max(sizes[10:]) <= 9
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)


def test_what_does_not_fit_the_memory_names_the_keys(blocks, sae_config, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    monkeypatch.setattr(training._Run, "_step", full)
    with pytest.raises(RuntimeError, match=r"sae.components .*sae.batch_size .*lower.*9 GiB"):
        training.train(blocks, sae_config(), 0, nothing)


@contextmanager
def at_most(seconds):
    """Kill processes that wait for each other for ever."""

    def stop(number, stack):
        for process in multiprocessing.active_children():
            process.kill()
        raise TimeoutError(f"the processes take longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_two_processes_train_as_one(blocks_of, mixtures, sae_config):
    # Batches of 20, 20, 20 and 1: of the last, the second process gets nothing.
    blocks = blocks_of(mixtures[:61])
    config = sae_config(
        kind="batch_topk",
        components=30,
        atoms_init="random",  # so that some never fire
        epochs=4,
        warmup=2,
        clip=0.1,
        auxk=0.1,
        dead_after=0.5,
        revive_after=[2],
    )
    measure = measure_on(blocks)
    one, curves = training.train(blocks, config, 0, measure)
    assert curves["dead_fraction"][1] > 0, "the example must revive components"
    with at_most(180):
        two, told = training.train(blocks, config.model_copy(update={"devices": 2}), 0, measure)
    pd.testing.assert_frame_equal(told, curves, rtol=1e-3)
    assert two.threshold == pytest.approx(one.threshold, rel=1e-3)
    torch.testing.assert_close(two.atoms, one.atoms, rtol=1e-2, atol=1e-3)
