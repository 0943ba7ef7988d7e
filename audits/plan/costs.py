"""What each stage of an audit takes, of counts, settings and what this machine takes for one."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from audits.maps.deletion import TESTED
from audits.maps.pictures import MOST
from audits.plan.beginning import Spent
from audits.plan.calibration import ModelRates, SaeRates
from audits.plan.classifiers import (
    BINARY_STEPS,
    LINEAR_STEPS,
    binary_fits,
    judgements,
    linear_fits,
    taught,
)
from audits.plan.samples import Pretraining, Rendering
from audits.probe.own import PICTURES as OWN_PICTURES
from audits.probe.own import SHOWN as SHOWN_OWN
from pipeline.config import AuditConfig, Params, SaeConfig
from pipeline.embeddings.plan_shifts import sampled
from pipeline.sae.blocks import POOL_BYTES
from pipeline.sae.start import PASSES

START = 8.5
"""Processor seconds that a light stage took to begin where `REST` was measured."""


class Line(NamedTuple):
    """What a stage takes, as a line: in all, for each image and for each component."""

    once: float
    image: float = 0.0
    component: float = 0.0


REST: Mapping[str, Line] = {
    "label": Line(5.4, 7.6e-5),
    "concepts": Line(7.6, 2.5e-4, 2e-3),
    "reference": Line(4.8, 1e-4),
    "failures": Line(8.0, 6.4e-4, 2.8e-3),
    "recurrence": Line(11.2, 2.8e-4),
    "review": Line(5.8, 8e-6),
    "robustness": Line(7.5),
    "faithfulness": Line(5.6, 3.3e-5, 4.6e-4),
    "shortcut": Line(12.3),
    "validate": Line(7.7, 6e-5),
    "report": Line(7.3, 1.6e-5),
}
"""Stage → processor seconds, where a light stage takes `START` to begin. Lines through the samples
alone are those of recurrence, robustness, shortcut (both without classifiers) and validate;
the others also go through `benchmarks.scale` at two sizes."""
NAMED = 2.8e-7
"""Of `label`, for each component and name."""
JUDGED = 1e-3
"""Of `faithfulness`, for each image that its settings allow at most."""
JUDGEMENT = 3.3e-6
"""Of `shortcut`, for each of `judgements`."""
NOTHING = 8.1
"""Of `shortcut` where there is none."""
PASSES_OF_MAP = 3  # a backward one counts two
PASSES_OF_TEST = 3  # as it is, and with the brightest and a random tenth covered
BYTES = {"prepare": 90, "encode": 3, "maps": 1200}
"""That the samples took for an image, for an image's component, and for a picture."""
IDS = 400  # bytes of an image's id, labels and group, which every stage holds
SHOWN = 440  # more of `report`, of what it shows of images
CELL = {"failures": 24, "concepts": 8, "robustness": 12}
"""Bytes for each class and component, and of `robustness` for each class and image learnt from."""
SINGLE, DOUBLE = 4, 8  # bytes of a number
FORMS = 2  # prompt forms with templates, and as many without
SETTLING = 1.6
"""Passes' worth of work that k-means does, as a multiple of √(tokens a centroid), for the fewer
they are the sooner its centroids stay: 9.2 passes' with 38 (scenes-tiny), 9.1 with 29
(lesions-tiny), 5.8 with 12 (photographs) and 3.5 with 4 (invented)."""
COVERED = 2  # views with a part covered, where there are masks


class Cost(NamedTuple):
    """What a stage takes; None where nobody knows."""

    images: int | None = None
    """That it opens or reads vectors of."""
    seconds: float | None = None
    """Of processors."""
    disk: int | None = None
    """Bytes that it writes, where they grow with images or components."""
    memory: int | None = None
    """Bytes at most."""


class Rates(NamedTuple):
    """What this machine takes."""

    light: Spent
    """For a stage to begin."""
    heavy: Spent
    """For one that loads a model."""
    opening: float
    """Seconds to open an image for the manifest."""
    models: Mapping[str, ModelRates]
    """Entry of embeddings → its model's."""
    sae: SaeRates
    linear: float
    """Seconds of a step of a classifier of `robustness`."""
    binary: float
    """Likewise of `shortcut`."""
    rendered: Mapping[str, Rendering]
    """Sample dataset → what it takes, of those that are asked for."""
    pretraining: Pretraining | None
    """None where it is not asked for."""


def costs(
    params: Params, name: str, images: pd.DataFrame, classes: int, words: int, rates: Rates
) -> dict[str, Cost]:
    """Cost of each stage of an audit by its name in dvc.yaml, without the `@`.

    `embed`, `prepare` and `sample` stand there for each entry or dataset: `embed@NAME`.

    Args:
        params: settings.
        name: of the audit.
        images: split, label and sha256 of the manifest, or of what is listed.
        classes: how many.
        words: terms of the vocabulary.
        rates: of this machine.
    """
    audit = params.audit(name)
    dataset, sae, own = params.dataset(audit.dataset), audit.sae, rates.models[audit.embeddings]
    labeler = rates.models[dataset.embeddings]
    n, train = len(images), int((images["split"] == "train").sum())
    heavy, light = rates.heavy, rates.light
    entry = params.entry(audit.embeddings)
    size = np.dtype(entry.dtype).itemsize
    vectors = n * own.width * size
    held = light.memory + n * IDS
    # Of the images that an epoch draws; what is read in order is not pooled.
    pools = min(round(sae.epoch_fraction * vectors), 2 * POOL_BYTES) + n * IDS
    atoms = 2 * sae.components * own.width * 4
    loaded = heavy.seconds + own.load
    with_model = heavy.memory + own.memory
    written = audit.probe.pictures + SHOWN_OWN * min(OWN_PICTURES, n)
    found: dict[str, Cost] = {
        f"prepare@{audit.dataset}": Cost(
            n, light.seconds + n * rates.opening, n * BYTES["prepare"], None
        ),
        "embed_texts": Cost(
            None,
            loaded + classes * FORMS * (1 + len(dataset.templates)) * own.text,
            None,
            with_model,
        ),
        "embed_concepts": Cost(
            n,
            heavy.seconds + labeler.load + (words + 1) * labeler.text,
            n * labeler.width * size,
            heavy.memory + labeler.memory,
        ),
        "probe": Cost(None, loaded + written * (own.forward + own.decode), None, with_model),
        "train_sae": Cost(
            train,
            light.seconds + (0 if audit.dictionary else one_sae(sae, train, n - train, rates.sae)),
            atoms,
            light.memory + pools + 4 * atoms,
        ),
    }
    for key in {audit.embeddings, dataset.embeddings}:
        one, spatial = rates.models[key], params.entry(key).spatial_tokens
        found[f"embed@{key}"] = Cost(
            n,
            heavy.seconds + one.load + n * (one.decode + one.forward),
            n * one.width * (1 + spatial) * np.dtype(params.entry(key).dtype).itemsize,
            heavy.memory + one.memory,
        )
    further = 0 if audit.dictionary else audit.stability.seeds - 1
    half = one_sae(sae, train // 2, 0, rates.sae)
    found["train_further"] = Cost(
        train, light.seconds + further * half, further * atoms, light.memory + pools + 4 * atoms
    )
    matches = further * (further + 1) / 2 + 2
    found["stability"] = Cost(
        n,
        light.seconds + (further + 1) * n * rates.sae.encode + matches * rates.sae.match,
        None,
        held + (further + 1) * atoms,
    )
    found["encode"] = Cost(
        n,
        light.seconds + (2 * n - train) * rates.sae.encode,
        n * sae.k * BYTES["encode"],
        held + atoms,
    )
    found["perturb"] = Cost(0, heavy.seconds, 0, heavy.memory)
    pictures = min(audit.report.gallery * sae.components, MOST)
    mapped = min(audit.report.maps, pictures)
    passes = PASSES_OF_MAP * mapped + PASSES_OF_TEST * min(mapped, TESTED)
    found["maps"] = Cost(
        pictures,
        loaded + (pictures + mapped) * own.decode + passes * own.forward,
        pictures * BYTES["maps"],
        with_model,
    )
    # The machine is as much faster as it begins faster.
    speed = light.seconds / START
    for stage, line in REST.items():
        taken = line.once + n * line.image + sae.components * line.component
        found[stage] = Cost(n, speed * taken, None, held)
    for stage, memory in _held(audit, images, classes, labeler, own.projected).items():
        found[stage] = _more(found[stage], 0.0, memory)
    named = sae.components * words * NAMED
    found["label"] = _more(found["label"], speed * named)
    judged = min(classes, audit.faithfulness.classes) * audit.faithfulness.images
    found["faithfulness"] = _more(found["faithfulness"], speed * judged * JUDGED)
    if audit.shortcut is None:
        found["shortcut"] = Cost(0, speed * NOTHING, None, held)
    fits = linear_fits(images, audit.robustness)
    found["robustness"] = _more(found["robustness"], fits.number * LINEAR_STEPS * rates.linear)
    if config := audit.shortcut:
        chosen = sampled(images, config)
        shifted = int(chosen.sum())
        again = int((chosen & (images["split"] == "train").to_numpy()).sum())
        views = sum(map(len, config.shifts.values()))
        views = 2 * views + COVERED if config.mask else views
        found["perturb"] = Cost(
            shifted,
            loaded + (shifted + again) * own.decode + shifted * views * (own.forward + own.shift),
            shifted * views * own.width * 4,
            with_model,
        )
        learnt = taught(images, config)
        fits = binary_fits(learnt, again, config)
        asked = judgements(learnt, (again, shifted - again), config)
        found["shortcut"] = _more(
            found["shortcut"],
            fits.number * BINARY_STEPS * rates.binary + speed * asked * JUDGEMENT,
            shifted * views * (own.width * 4 + own.projected * 8),
        )
    return _of_samples(params, rates) | found


def _held(
    audit: AuditConfig, images: pd.DataFrame, classes: int, labeler: ModelRates, projected: int
) -> dict[str, int]:
    """Bytes that some stages hold beside what every stage does."""
    cells = classes * audit.sae.components
    voters = min(len(images), audit.sae.components * audit.label.top_images)
    each = images.loc[images["split"] == "train", "label"].value_counts()
    learnt = int(each.clip(upper=audit.robustness.train_images).sum())
    return {
        "label": voters * labeler.width * SINGLE,
        "failures": cells * CELL["failures"],
        "concepts": cells * CELL["concepts"]
        + audit.sae.components * labeler.width * (DOUBLE + 2 * SINGLE),
        "robustness": learnt * (classes * CELL["robustness"] + 2 * projected * SINGLE),
        "report": len(images) * SHOWN,
    }


def _more(cost: Cost, seconds: float, memory: int = 0) -> Cost:
    return cost._replace(
        seconds=(cost.seconds or 0.0) + seconds, memory=(cost.memory or 0) + memory
    )


def _of_samples(params: Params, rates: Rates) -> dict[str, Cost]:
    """What comes before an audit of a sample, of those that were asked for."""
    light, heavy, workers = rates.light, rates.heavy, params.samples.workers
    found = {}
    for dataset, one in rates.rendered.items():
        begun = (1 + workers) * one.begin  # each is a process of its own
        found[f"sample@{dataset}"] = Cost(one.images, begun + one.images * one.each)
        found[f"prepare@{dataset}"] = Cost(
            one.images, light.seconds + one.images * rates.opening, one.images * BYTES["prepare"]
        )
    if small := rates.pretraining:
        pixels = 3 * params.pretrain.image_size**2
        found["pretrain"] = Cost(
            small.images,
            heavy.seconds + small.images * small.decode + small.steps * small.step,
            small.size,
            # Pixels are joined once all are there.
            heavy.memory + 2 * small.images * pixels,
        )
    return found


def one_sae(config: SaeConfig, train: int, held_out: int, rates: SaeRates) -> float:
    """Seconds in which an autoencoder is trained: start, steps, and its health an epoch."""
    drawn = max(1, round(config.epoch_fraction * train))
    steps = config.epochs * -(-drawn // config.batch_size)
    start = 0.0
    if config.atoms_init == "kmeans":
        passes = SETTLING * math.sqrt(drawn / min(drawn, config.components))
        start += drawn * rates.centroid * min(max(passes, 2), PASSES)
        if config.encoder_init == "transpose":
            start += drawn * rates.encode
    return start + steps * rates.step + config.epochs * held_out * rates.encode
