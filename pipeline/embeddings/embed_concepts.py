"""Stage `embed_concepts`: a dataset's images and vocabulary as its labeler sees them.

No image is opened: the labeler's embeddings of the dataset are there. Components are named in the
space of its image embeddings z, which are made of them here, under the dataset's name, for an audit
in dvc.yaml knows its dataset and not which embeddings the dataset names.
"""

import shutil
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from upath import UPath

from pipeline import layout
from pipeline.artifacts.shards import opened, ready, rows_in, shards
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import atomic, vector_column, write_table
from pipeline.attribution.head import project, unit
from pipeline.embeddings.kept_texts import kept_texts
from pipeline.embeddings.texts import Term, read_vocabulary
from pipeline.embeddings.vectors import read_vectors, vector_table, write_vectors
from pipeline.engine.crew import Engine, Needs
from pipeline.models.catalog import load_clip, text_embeddings
from pipeline.models.files import read_head


class Projector:
    """Unit image embeddings, column `z`, of shards of what `embed` has written.

    Computed in float32 and stored as x is; shards of z are copied.
    """

    def __init__(self, head: Path, store: UPath | None) -> None:
        """Args: folder of what makes z of x; where shards are to lie, see `shards.written`."""
        self.head, self.store = head, store

    def about(self) -> None:
        """Nothing."""

    def each(self, units: Iterable[tuple[int, Path, Path]]) -> Iterator[None]:
        """Number and place of each shard, and the folder that is written to."""
        for number, path, folder in units:
            self._project(number, path, folder)
            yield

    def _project(self, number: int, path: Path, folder: Path) -> None:
        with opened(path) as file:
            is_z = "z" in file.schema_arrow.names
        if is_z:
            with atomic(folder / path.name) as temporary:
                shutil.copyfile(path, temporary)
            return
        found = read_vectors(path, "x")
        x = torch.from_numpy(found.values.astype(np.float32))
        z = unit(project(x, read_head(self.head))).numpy().astype(found.values.dtype)
        table = vector_table(found.image_ids.tolist(), {"z": z})
        write_vectors(folder, number, [table], self.store)


def main() -> None:
    """Write a dataset's images and its vocabulary in its labeler's space."""
    name, params = begin(__doc__, "dataset")
    dataset = params.dataset(name)
    terms = [Term("", None), *read_vocabulary(dataset.vocabulary)]
    clip, words = load_clip(layout.model(dataset.labeler)), [term.term for term in terms]
    t = kept_texts(clip, [[word] for word in words], partial(text_embeddings, clip, words))
    columns = {
        "term": words,
        "kind": [term.kind for term in terms],
        "t": vector_column(t.numpy()),
    }
    entry = dataset.embeddings
    with atomic(layout.concepts_embeddings(name)) as folder:
        folder.mkdir(parents=True)
        paths = shards(layout.embeddings(entry))
        units = [(number, path, folder) for number, path in enumerate(paths)]
        make = partial(Projector, layout.head(entry), ready(params.shards))
        with Engine.of(params).crew(make, Needs(), len(units)) as crew:
            for _ in crew.each(units, "project", lambda unit: rows_in(unit[1]), folder):
                pass
        write_table(folder / "vocabulary.parquet", pa.table(columns))


if __name__ == "__main__":
    main()
