"""What is measured, by a clock that goes by eight seconds at each look."""

from itertools import count

import pytest

from audits.plan import calibration
from pipeline.sae.model import Sae


def test_an_epoch_is_of_as_many_steps_as_batches(monkeypatch, sae_config):
    def train(blocks, config, seed, note):
        assert blocks.rows == calibration.BATCHES * config.batch_size
        for _ in range(config.epochs):
            note(Sae(config.components, blocks.width, config.k))

    clock = count(0.0, 8.0)
    monkeypatch.setattr(calibration.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(calibration.training, "train", train)
    config = sae_config()
    found = calibration.of_sae(config, width=7, spatial=0)
    assert found.step == 8.0 / calibration.BATCHES
    each = pytest.approx(8.0 / (calibration.BATCHES * config.batch_size))
    assert (found.encode, found.centroid) == (each, each)
    assert found.match == 8.0


@pytest.mark.parametrize("number", [1, 64, 65, 1000])
def test_images_are_taken_from_all_over(number):
    paths = [str(n) for n in range(number)]
    few = calibration.spread(paths, 64)
    assert len(set(few)) == min(number, calibration.IMAGES)
    assert (few[0], few[-1]) == (paths[0], paths[-1])
