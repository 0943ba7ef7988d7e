"""Stage `train_further`: the autoencoder once more, from further seeds and on halves of the images.

Each has a start and an order of its own, and the images that `pipeline.sae.halves` gives it.
`stability` compares the dictionaries' components with the audit's, and `audits.recurrence` looks
for the audit's findings with them.
"""

from collections.abc import Iterator

import numpy as np

from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.resume import workplace
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table
from pipeline.config import Params
from pipeline.sae import files, training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.halves import half
from pipeline.sae.model import Sae
from pipeline.sae.train_sae import training_key


def train_others(name: str, params: Params) -> Iterator[int]:
    """Train an audit's SAE anew on halves, with the seeds that follow its own; their numbers.

    What a killed run had trained is not trained again.

    Raises:
        DoesNotApply: the audit's was imported, or the train images are too few for halves.
    """
    audit = params.audit(name)
    if audit.dictionary is not None:
        raise DoesNotApply(
            f"the dictionary was imported, from {audit.dictionary.folder}: it cannot be trained "
            "again from further seeds"
        )
    manifest = layout.manifest(audit.dataset) / "manifest.parquet"
    table = read_table(manifest, ["image_id", "split", "group_id"])
    embeddings, columns = layout.embeddings(audit.embeddings), training.COLUMNS[audit.sae.tokens]
    with workplace(layout.further_saes(name), training_key(name, params)) as place:
        for number in range(1, audit.stability.seeds):
            seed = params.seed + number
            own = np.where(half(table, params.seed, number), "half", "")
            blocks = EmbeddingBlocks.open(embeddings, table.assign(split=own), "half", columns)
            checkpoints = place / str(seed)
            checkpoints.mkdir(exist_ok=True)
            sae, _ = training.train(blocks, audit.sae, seed, _nothing, checkpoints)
            files.save(sae, layout.further_sae(name, number), {"seed": seed})
            yield number


def _nothing(sae: Sae) -> dict[str, float | list[int]]:
    return {}


def main() -> None:
    """Train further seeds of an audit's SAE, or say why there are none."""
    name, params = begin(__doc__)
    gaps = Gaps()
    numbers = gaps.measured("stability", lambda: list(train_others(name, params))) or []
    gaps.write_metrics(layout.further_saes(name) / "index.json", {"numbers": numbers})


if __name__ == "__main__":
    main()
