"""`audit plan`: what the stages of an audit would cost, before they run."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from io import StringIO
from typing import TYPE_CHECKING, Any

from audits.plan.beginning import Spent, begin
from pipeline import layout
from pipeline.config import ConfigError, Params, load_params

if TYPE_CHECKING:
    import pandas as pd

    from audits.plan.costs import Rates
    from pipeline.datasets.pixels import Reading

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit plan scenes-tiny
  audit plan scenes-tiny --json

What is fresh costs nothing. Stages after a stale one are counted, and run only where their inputs
change.
"""
ERROR = 1.5
"""Factor within which the stages of the samples lie (docs/measurements.md)."""
SHARDED = ("embed", "embed_concepts", "perturb", "encode")
"""Stages whose outputs are shards."""
COLUMNS = ("stage", "images", "processor", "disk", "memory")


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "plan",
        description="Say what `dvc repro publish@NAME` would take: images, processor time, disk "
        "and memory of each stage that is not fresh. Counts images in the manifest, or lists the "
        "dataset where there is none yet, and takes half a minute to measure this machine: some "
        "images opened and put through the model, some training steps. Needs images and weights; "
        "runs no stage. Of a GPU it says nothing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    parser.set_defaults(run=_run, command="plan")


def _run(arguments: argparse.Namespace) -> str:
    from audits.command.status import states

    params = load_params()
    params.audit(arguments.name)
    (stands,) = states([arguments.name])
    left = [*stands["stale"], *stands["after"]]
    planned = plan(params, arguments.name, left) if left else {}
    stages = []
    for stage in left:
        cost = planned.get(stage) or planned.get(stage.partition("@")[0])
        stages.append({"stage": stage, **(cost._asdict() if cost else {})})
    found = {"audit": arguments.name, "factor": ERROR, "stages": stages, "fresh": stands["fresh"]}
    if params.shards is not None and any(one.partition("@")[0] in SHARDED for one in left):
        found["shards"] = str(params.shards)
    if arguments.json:
        from pipeline.artifacts.store import json_text

        return json_text(found)
    return "\n".join(_said(found))


@contextmanager
def _measuring() -> Iterator[None]:
    """Says so, and hides progress bars of work that ends as soon as it has been timed."""
    print("measuring this machine, about half a minute", file=sys.stderr, flush=True)
    with redirect_stderr(StringIO()):
        yield


def plan(params: Params, name: str, stages: Sequence[str]) -> dict[str, Any]:
    """`costs` of an audit, with this machine measured.

    Args:
        params: settings.
        name: of the audit.
        stages: by which the samples' own are measured, as DVC calls them.

    Raises:
        ConfigError: weights are not there yet, or a sample is not.
        OSError, ValueError: images are not there, or cannot be read; see `layout_at`.
    """
    begun = begin("pipeline.sae.encode"), begin("pipeline.embeddings.embed")
    # Imported late: open_clip takes seconds, and memory that `begin` would count.
    import pandas as pd

    from audits.plan.costs import costs
    from pipeline.artifacts.stage import set_threads
    from pipeline.artifacts.store import read_json, read_table
    from pipeline.checks.problems import layout_at
    from pipeline.datasets.adapters import listing
    from pipeline.datasets.pixels import Reading, reading_of
    from pipeline.datasets.splits import thin
    from pipeline.embeddings.texts import read_vocabulary
    from pipeline.places import exists

    audit = params.audit(name)
    dataset, manifest = params.dataset(audit.dataset), layout.manifest(audit.dataset)
    if audit.dataset in params.outside.datasets:
        layout_at(params, audit.dataset)
    elif not exists(dataset.root):
        raise ConfigError(
            f"datasets.{audit.dataset}.root is {str(dataset.root)!r}, a sample that is not "
            f"rendered yet: `dvc repro sample@{audit.dataset}` renders it"
        )
    if (manifest / "manifest.parquet").exists():
        images = read_table(manifest / "manifest.parquet", ["path", "split", "label", "sha256"])
        reading = reading_of(read_json(manifest / "reading.json"))
    else:
        records = thin(listing(dataset, params.seed).records, dataset.every)
        images = pd.DataFrame(records)[["path", "split", "label"]]
        images["sha256"] = images["path"]  # any order does to count those that are shifted
        reading = Reading(dataset.pixels)
    if not len(images):
        raise ConfigError(f"datasets.{audit.dataset} lists no image in {dataset.root}")
    set_threads(params.threads, params.seed)
    with _measuring():
        rates = _rates(params, name, images, reading, stages, begun)
    words = len(read_vocabulary(dataset.vocabulary))
    return dict(costs(params, name, images, images["label"].nunique(), words, rates))


def _rates(
    params: Params,
    name: str,
    images: "pd.DataFrame",
    reading: "Reading",
    stages: Sequence[str],
    begun: tuple[Spent, Spent],
) -> "Rates":
    """This machine's, for the images, models, dictionary and classifiers of an audit."""
    from audits.plan import calibration, classifiers, samples
    from audits.plan.costs import Rates

    audit = params.audit(name)
    dataset = params.dataset(audit.dataset)
    paths = images["path"].tolist()
    models = {
        key: calibration.of_model(
            layout.model(params.entry(key).model), params.entry(key), paths, dataset.root, reading
        )
        for key in dict.fromkeys((audit.embeddings, dataset.embeddings))
    }
    spatial = 0 if audit.sae.tokens == "class" else params.entry(audit.embeddings).spatial_tokens
    classes = images["label"].nunique()
    robustness, shortcut = audit.robustness, audit.shortcut
    fitted = classifiers.linear_fits(images, robustness).rows
    taught = 0 if shortcut is None else classifiers.taught(images, shortcut)
    projected = models[audit.embeddings].projected
    pretraining = None
    with suppress(FileNotFoundError):  # a sample is not rendered and listed yet
        if "pretrain" in stages:
            pretraining = samples.pretraining(params.pretrain, params.seed)
    return Rates(
        *begun,
        calibration.opening(paths, dataset.root, reading),
        models,
        calibration.of_sae(audit.sae, models[audit.embeddings].width, spatial),
        # Of one class there is no classifier.
        classifiers.linear_step(fitted, projected, classes, robustness) if classes > 1 else 0.0,
        classifiers.binary_step(taught // 2, projected, shortcut) if shortcut and taught else 0.0,
        {
            sample: samples.rendering(sample, params.samples, params.seed)
            for sample in ("scenes", "lesions")
            if f"sample@{sample}" in stages or f"prepare@{sample}" in stages
        },
        pretraining,
    )


def _said(found: dict[str, Any]) -> Iterator[str]:
    stages = found["stages"]
    if not stages:
        yield f"{found['audit']}: all {len(found['fresh'])} stages are fresh, a run costs nothing"
        return
    rows = [COLUMNS, *(_row(one) for one in stages), _row(_total(stages))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join([f"{first:{widths[0]}}", *cells])
    yield ""
    yield (
        f"{len(found['fresh'])} stages are fresh and cost nothing. Seconds are of one processor, "
        f"right within a factor of {found['factor']} for the stages of the samples "
        "(docs/measurements.md); – is not estimated, or little."
    )
    if "shards" in found:
        yield (
            f"Of the disk, what {', '.join(SHARDED)} write lies at {found['shards']} and not here."
        )


def _total(stages: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = sum((one.get("seconds") or 0.0 for one in stages), 0.0)
    disk = sum(one.get("disk") or 0 for one in stages)
    most = max((one.get("memory") or 0 for one in stages), default=0)
    return {"stage": "all, memory the most", "seconds": seconds, "disk": disk, "memory": most}


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    images, seconds, *sizes = (one.get(key) for key in ("images", "seconds", "disk", "memory"))
    return (
        one["stage"],
        "–" if images is None else f"{images:,}",
        "–" if seconds is None else _time(seconds),
        *("–" if size is None else _size(size) for size in sizes),
    )


def _time(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36000 else f"{seconds / 3600:.0f} h"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"
