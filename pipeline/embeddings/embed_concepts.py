"""Stage `embed_concepts`: images and vocabulary through the labeler, which names components."""

import argparse

import pyarrow as pa

from pipeline import layout
from pipeline.artifacts.resume import resumable
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import read_json, read_table, vector_column, write_table
from pipeline.config import EmbedConfig, load_params
from pipeline.datasets.pixels import reading_of
from pipeline.embeddings.embed import embed_shards, first_pixels, shards_key
from pipeline.embeddings.forward import Forward, split_preprocess
from pipeline.embeddings.texts import Term, read_vocabulary
from pipeline.models.catalog import image_embeddings, load_clip, text_embeddings


def main() -> None:
    """Embed a dataset's images and its vocabulary with its labeler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name under datasets: in params.yaml")
    name = parser.parse_args().dataset
    params = load_params()
    dataset = params.dataset(name)
    config: EmbedConfig = dataset.embed
    set_threads(params.threads, params.seed)
    clip = load_clip(layout.model(dataset.labeler))
    terms = [Term("", None), *read_vocabulary(dataset.vocabulary)]
    images = read_table(layout.manifest(name) / "images.parquet")
    reading = reading_of(read_json(layout.manifest(name) / "reading.json"))
    pixels_of, normalize = split_preprocess(clip)
    first = first_pixels(images, dataset.root, reading, pixels_of)
    forward = Forward(clip, image_embeddings, normalize, config, first)
    key = shards_key(clip, images, config, forward.ran(), ["z", reading])
    with resumable(layout.concepts_embeddings(name), key) as folder:
        progress = f"embed with {dataset.labeler}"
        embed_shards(
            images, dataset.root, reading, pixels_of, forward, "z", config, folder, progress
        )
        t = text_embeddings(clip, [term.term for term in terms])
        columns = {
            "term": [term.term for term in terms],
            "kind": [term.kind for term in terms],
            "t": vector_column(t.numpy()),
        }
        write_table(folder / "vocabulary.parquet", pa.table(columns))


if __name__ == "__main__":
    main()
