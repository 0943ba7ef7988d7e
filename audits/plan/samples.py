"""What the samples' own stages take on this machine: rendering, and training the small CLIP.

Seconds are of processors, over all threads, as a stage's own are counted.
"""

import time
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from audits.plan.beginning import begin
from audits.plan.calibration import spread
from pipeline import layout
from pipeline.artifacts.stage import train_deterministically
from pipeline.config import PretrainConfig, SamplesConfig
from pipeline.samples import lesions, pretrain, scenes
from pipeline.samples.lesion_plan import plan

PICTURES = 60
"""About how many are rendered."""
BATCHES = 4
"""In an epoch of the training that is timed."""
ENOUGH = 3.0
"""Seconds of training after which it stops."""


class Rendering(NamedTuple):
    """Of a sample dataset."""

    begin: float
    """Seconds of a process before it renders."""
    images: int
    each: float
    """Seconds."""


class Pretraining(NamedTuple):
    """Of the small CLIP."""

    images: int
    decode: float
    """Seconds to read and resize an image, and to tokenize its captions."""
    step: float
    """Seconds."""
    steps: int
    size: int
    """Bytes of its weights."""


def rendering(dataset: str, config: SamplesConfig, seed: int) -> Rendering:
    """Render some pictures of a sample into a folder that is removed."""
    with TemporaryDirectory() as place:
        root = Path(place)
        if dataset == "scenes":
            tasks = list(scenes.tasks(config.scenes))
            few = spread(tasks, PICTURES)
            for task in few:
                (root / task.image_id).parent.mkdir(parents=True, exist_ok=True)
            for _ in range(2):  # glyphs are read the first time
                began = time.process_time()
                for task in few:
                    scenes.render_task(task, root, config.scenes, seed)
            drawn, images = len(few), len(tasks)
        else:
            cases = plan(lesions.rates(config.lesions), config.lesions.lesions, seed)
            some = spread(cases, PICTURES)
            began = time.process_time()
            for case in some:
                lesions.draw_case(case, root, config.lesions.image_size)
            drawn, images = (sum(len(case.shots) for case in part) for part in (some, cases))
        spent = (time.process_time() - began) / drawn
    return Rendering(begin("pipeline.samples.sample").seconds, images, spent)


def pretraining(config: PretrainConfig, seed: int) -> Pretraining:
    """Train the small CLIP for a few seconds on some of its images.

    Raises:
        FileNotFoundError: a sample dataset is not rendered and listed yet.
    """
    table = pretrain.read_captions(config.datasets)
    paths = sorted(table["path"].unique())
    few = spread(paths, BATCHES * config.batch_size)
    with redirect_stderr(StringIO()):  # its bars
        began = time.process_time()
        one = config.model_copy(update={"workers": 0, "epochs": 10_000})
        data = pretrain.captioned(table[table["path"].isin(few)], layout.DATA / "raw", one)
        decode = (time.process_time() - began) / len(few)
        ends: list[float] = []
        model = pretrain.build(config)
        train_deterministically()
        try:
            for _ in pretrain.train(model, data, one, seed):
                ends.append(time.process_time())
                if len(ends) > 2 and ends[-1] - ends[0] > ENOUGH:
                    break
        finally:
            torch.use_deterministic_algorithms(False)
    return Pretraining(
        images=len(paths),
        decode=decode,
        step=float(np.median(np.diff(ends))) / max(1, len(few) // config.batch_size),
        steps=config.epochs * max(1, len(paths) // config.batch_size),
        size=sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values()),
    )
