"""Stage `recurrence`: how often each finding is found again.

Each further dictionary of the stage `stability` searches the train images that it has learnt from,
half of all, for failures, as `failures` does with the audit's dictionary: expected relevance, flags
and groups are its own. Two of one pair share neither start nor order nor an image. Half the images
show half of a failure, so a flag takes that share of `min_images`. A finding is found again where
one of the same class shares its images (`audits.recurrence.again`).

Two things differ then, the dictionary and the images. So each dictionary searches all train images,
too: what it finds there and not on its half is lost for want of images. `audit diff` needs to know
what that is (found.parquet).
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from audits.failures.compounds import Compounds, compounds_of
from audits.failures.findings import gather
from audits.failures.flags import find_flags
from audits.failures.lexicon import Lexicon
from audits.failures.strikes import prepare
from audits.inputs import Inputs, load_inputs
from audits.recurrence.again import Finding, Run, by_finding, compare, found_by, metrics
from audits.reference.expected import reference
from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_json, write_table
from pipeline.config import FailuresConfig
from pipeline.sae import files
from pipeline.sae.codes import StoredCodes
from pipeline.sae.halves import half
from pipeline.sae.model import Sae

ROWS = 1024
"""Images that are encoded at a time."""


@torch.inference_mode()
def seen_by(inputs: Inputs, sae: Sae, seen: np.ndarray) -> Inputs:
    """An audit's artifacts with another dictionary, as if its train images were those seen.

    Args:
        inputs: the audit's.
        sae: the other dictionary.
        seen: mask [n] of images; the others are of no split and have no codes.
    """
    found = StoredCodes.empty(layout.DATA, len(inputs.x), sae.slots)
    for rows in torch.from_numpy(np.flatnonzero(seen)).split(ROWS):
        codes = sae.encode(inputs.tokens(rows))
        for held, part in zip(found, codes, strict=True):
            held[rows] = part
    return replace(
        inputs,
        images=inputs.images.assign(split=np.where(seen, "train", "")),
        codes=found,
        atoms=sae.atoms.data,
        bias=sae.bias.data,
    )


def search(
    inputs: Inputs,
    sae: Sae,
    seen: np.ndarray,
    own: list[Finding],
    compounds: Compounds,
    config: FailuresConfig,
    seed: int,
    number: int,
) -> Run:
    """Look for an audit's findings with another dictionary.

    Args:
        inputs: the audit's artifacts.
        sae: the other dictionary.
        seen: mask [n] of the train images that it has learnt from.
        own: the audit's findings.
        compounds: among the classes' names, see `compounds_of`.
        config: the section of params.yaml.
        seed: of what `find_flags` draws.
        number: of the dictionary.
    """
    theirs = seen_by(inputs, sae, seen)
    share = float(seen[inputs.split("train").numpy()].mean())
    fewer = config.model_copy(update={"min_images": max(1, round(share * config.min_images))})
    tests = prepare(theirs, "train", compounds, fewer)
    try:
        table, classes = reference(theirs, config.relevance)
        flags = find_flags(theirs, table, classes, tests, fewer, seed).flags
    except DoesNotApply:
        flags = []  # too few images to test any class: nothing is found again there
    found = [
        Finding(group[0].position, np.unique(np.concatenate([flag.rows for flag in group])))
        for group in gather(flags, config.overlap)
    ]
    return compare(own, found, seen, tests.close.candidates, config.overlap, number)


def findings(name: str, inputs: Inputs) -> tuple[list[str], list[Finding], np.ndarray]:
    """Ids of an audit's findings, what they are known by, and which held on fresh images [f]."""
    folder = layout.audit(name, "failures")
    table = read_table(folder / "findings.csv", ["finding_id", "class", "held"])
    evidence = read_json(folder / "evidence.json")
    row = {image: index for index, image in enumerate(inputs.images["image_id"])}
    position = {label: index for index, label in enumerate(inputs.classes["label"])}
    found = [
        Finding(position[label], np.array(sorted(row[i] for i in evidence[finding_id]["images"])))
        for finding_id, label in zip(table["finding_id"], table["class"], strict=True)
    ]
    return table["finding_id"].tolist(), found, table["held"].to_numpy(dtype=bool)


def main() -> None:
    """Look for an audit's findings with the dictionaries of further seeds."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    config = audit.failures
    inputs = load_inputs(params, name)
    lexicon = Lexicon.read(audit.modes.wordnet)
    compounds = compounds_of(inputs.classes["short"].tolist(), lexicon)
    finding_ids, own, held = findings(name, inputs)
    train = inputs.split("train").numpy()

    def runs() -> Iterator[Run]:
        for number in read_json(layout.further_saes(name) / "index.json")["numbers"]:
            sae = files.load(layout.further_sae(name, number))
            halved, every = (
                search(inputs, sae, seen, own, compounds, config, params.seed + number, number)
                for seen in (half(inputs.images, params.seed, number), train)
            )
            yield halved._replace(on_all=every.again, found=every.found)

    found = list(runs()) if own else []
    table = by_finding(finding_ids, found)
    folder = layout.audit(name, "recurrence")
    write_table(folder / "findings.csv", table)
    image_ids = inputs.images["image_id"].tolist()
    write_table(
        folder / "found.parquet", found_by(found, inputs.classes["label"].tolist(), image_ids)
    )
    write_json(folder / "metrics.json", {"recurrence": metrics(table, held, found)})


if __name__ == "__main__":
    main()
