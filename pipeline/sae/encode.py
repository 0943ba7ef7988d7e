"""Stage `encode`: sparse codes of all images, and the health of the SAE that made them."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from upath import UPath

from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.shards import ready, rows_in, shards, write_shard
from pipeline.artifacts.stage import begin, pick_device
from pipeline.artifacts.store import atomic, read_json
from pipeline.attribution.head import cosine_outputs
from pipeline.embeddings.vectors import read_vectors
from pipeline.engine.crew import Engine, Needs
from pipeline.models.files import read_head, read_texts
from pipeline.sae import files
from pipeline.sae.codes import codes_table
from pipeline.sae.health import BestClass
from pipeline.sae.model import encode_blocks
from pipeline.sae.train_sae import open_blocks

DEVICE = "sae.device"


def best_class(name: str, manifest: Path, head: Path) -> BestClass:
    """Zero-shot classification by an audit's prompts of the short class names."""
    labels = [entry["label"] for entry in read_json(manifest / "classes.json")]
    t, found = read_texts(layout.texts(name), labels)["short"], read_head(head)
    return lambda x: cosine_outputs(x, t, found).argmax(dim=-1)


class Encoder:
    """Codes of shards of embeddings."""

    def __init__(self, folder: Path, device: str, store: UPath | None) -> None:
        """
        Args:
            folder: of the SAE.
            device: where it runs, `auto` or torch's name.
            store: where shards of codes are to lie, see `shards.written`.
        """
        self.store = store
        self.sae = files.load(folder).to(pick_device(device, DEVICE))

    def about(self) -> str:
        """Type of the device."""
        return self.sae.atoms.device.type

    def each(self, units: Iterable[tuple[int, Path, Path]]) -> Iterator[Int[Tensor, " fired"]]:
        """Number and place of each shard, and the folder that is written to; who fired in it."""
        for number, path, folder in units:
            embeddings = read_vectors(path, "x")
            x = torch.from_numpy(embeddings.values.astype(np.float32))
            codes = encode_blocks(self.sae, x)
            write_shard(folder, number, codes_table(embeddings.image_ids, codes), self.store)
            yield codes.component[codes.activation > 0].unique()


@torch.inference_mode()
def main() -> None:
    """Encode an audit's embeddings shard by shard, and measure the SAE on held-out images."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    sae = files.load(layout.sae(name)).to(pick_device(audit.sae.device, DEVICE))
    fired = torch.zeros(len(sae.atoms), dtype=torch.bool)
    with atomic(layout.codes(name)) as folder:
        folder.mkdir(parents=True)
        paths = shards(layout.embeddings(audit.embeddings))
        units = [(number, path, folder) for number, path in enumerate(paths)]
        make = partial(Encoder, layout.sae(name), audit.sae.device, ready(params.shards))
        with Engine.of(params).crew(make, Needs(audit.sae.device, DEVICE), len(units)) as crew:
            size = lambda unit: rows_in(unit[1])  # noqa: E731
            for _, active in crew.each(units, "encode", size, folder):
                fired[active] = True

    _, measure = open_blocks(params, name)
    measure.best_class = best_class(
        name, layout.manifest(audit.dataset), layout.head(audit.embeddings)
    )
    gaps = Gaps()
    figures = measure.health(sae).figures(gaps) | {"alive_fraction": float(fired.float().mean())}
    gaps.write_metrics(layout.audit(name, "sae") / "metrics.json", {"sae": figures})


if __name__ == "__main__":
    main()
