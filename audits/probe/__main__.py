"""Stage `probe`: what in the audited model answers to writing.

Words on neutral grounds, and the same grounds with marks or nothing on them, go through the model
and the SAE. Which components answer to writing at all, and which to one class's own word? And in
which direction does writing move an embedding, so that images that carry it can be told? For that
words are written on pictures of the dataset, too.
"""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.random import Generator

from audits.probe.answers import (
    answers,
    choose_words,
    direction,
    directions,
    embed_pictures,
    pictures,
    plan,
    reliability,
    separation,
    word_table,
)
from audits.probe.own import chosen, own_pictures, plan_own
from audits.probe.plain import pictures as plain_pictures
from audits.probe.plain import plain_table
from audits.probe.writing import grounds
from pipeline import layout
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_json, write_table
from pipeline.attribution.relevance import activations
from pipeline.config import Params
from pipeline.datasets.pixels import reading_of
from pipeline.models.catalog import Clip, load_clip
from pipeline.sae import files


def main() -> None:
    """Show an audit's model writing."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    config = audit.probe
    sae = files.load(layout.sae(name))
    classes = read_json(layout.manifest(audit.dataset) / "classes.json")
    rng = np.random.default_rng(params.seed)
    words = choose_words({c["label"]: c["short"] for c in classes}, config, rng)
    places, planned = grounds(config.grounds, rng), plan(len(words.written), config)
    shown = pictures(words.written, places, planned, rng)
    clip = load_clip(layout.model(audit.model))
    x = embed_pictures(clip, shown, len(planned.word), params.entry(audit.embeddings))
    found = answers(sae.encode(x), len(sae.atoms), planned)
    by_ground = directions(x, planned)
    on_pictures = own_directions(params, name, clip, words.written, rng)
    answered = word_table(words, found, config.answer)
    kinds, plain = zip(*plain_pictures(), strict=True)
    codes = sae.encode(
        embed_pictures(clip, iter(plain), len(plain), params.entry(audit.embeddings))
    )
    to_plain = plain_table(
        activations(codes, len(sae.atoms)).numpy(), np.array(kinds), config.answer
    )
    folder = layout.audit(name, "probe")
    component = np.arange(len(sae.atoms), dtype=np.int32)
    components = pd.DataFrame({"component": component, "writing": found.writing})
    write_table(folder / "components.parquet", components)
    write_table(folder / "words.parquet", answered)
    write_table(folder / "plain.parquet", to_plain)
    write_table(
        folder / "direction.parquet",
        pd.DataFrame(
            {
                "writing": direction(by_ground).astype(np.float32),
                "on_pictures": direction(np.concatenate([by_ground, on_pictures])).astype(
                    np.float32
                ),
            }
        ),
    )
    metrics: dict[str, Any] = {
        "pictures": len(planned.word),
        "words": len(words.written),
        "classes_left_out": words.left_out,
        "reliability": reliability(by_ground),
        "separation": separation(x, planned, by_ground),
        "own_word_pairs": len(answered),
        "own_word_classes": int(answered["class"].nunique()),
    }
    write_json(folder / "metrics.json", {"probe": metrics})


def own_directions(
    params: Params, name: str, clip: Clip, words: list[str], rng: Generator
) -> Float[np.ndarray, "g d"]:
    """What writing adds to x, on each of some pictures of the audit's dataset.

    Raises:
        OSError: one is missing or has changed.
    """
    audit = params.audit(name)
    manifest = layout.manifest(audit.dataset)
    images = chosen(read_table(manifest / "images.parquet", ["image_id", "path", "sha256"]), rng)
    planned = plan_own(len(images), len(words), rng)
    reading = reading_of(read_json(manifest / "reading.json"))
    root = params.dataset(audit.dataset).root
    shown = own_pictures(images, root, reading, words, planned, rng)
    x = embed_pictures(clip, shown, len(planned.word), params.entry(audit.embeddings))
    return directions(x, planned)


if __name__ == "__main__":
    main()
