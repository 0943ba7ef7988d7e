"""Stage `encode`: sparse codes of all images, and the health of the SAE that made them."""

import numpy as np
import pyarrow as pa
import torch

from pipeline import layout
from pipeline.attribution import Codes
from pipeline.sae import files
from pipeline.sae.health import density
from pipeline.sae.model import encode_blocks
from pipeline.stage import begin
from pipeline.store import (
    atomic,
    shards,
    write_json,
    write_shard,
    write_table,
)
from pipeline.train_sae import open_blocks
from pipeline.vectors import read_vectors


def codes_table(image_ids: np.ndarray, codes: Codes) -> pa.Table:
    """Codes as lists of the active components only, strongest first, activations in half precision.

    An activation too small for half precision counts as off.
    """
    stored = codes.activation.numpy().astype(np.float16)
    active = stored > 0
    offsets = pa.array(np.concatenate([[0], active.sum(axis=1).cumsum()]), pa.int32())
    component = pa.array(codes.component.numpy()[active].astype(np.int32))
    activation = pa.array(stored[active])
    return pa.table(
        {
            "image_id": image_ids,
            "component": pa.ListArray.from_arrays(offsets, component),
            "activation": pa.ListArray.from_arrays(offsets, activation),
        }
    )


@torch.inference_mode()
def main() -> None:
    """Encode an audit's embeddings shard by shard, and measure the SAE on held-out images."""
    name, params = begin(__doc__)
    sae = files.load(layout.sae(name))
    fired = torch.zeros(len(sae.atoms), dtype=torch.bool)
    with atomic(layout.codes(name)) as folder:
        folder.mkdir(parents=True)
        for number, path in enumerate(shards(layout.embeddings(name))):
            embeddings = read_vectors(path, "x")
            codes = encode_blocks(sae, torch.from_numpy(embeddings.values))
            fired[codes.component[codes.activation > 0]] = True
            write_shard(folder, number, codes_table(embeddings.image_ids, codes))

    _, measure = open_blocks(params, name)
    health = measure.health(sae)
    figures = {**health.figures(), "alive_fraction": float(fired.float().mean())}
    folder = layout.audit(name, "sae")
    write_table(folder / "density.csv", density(health.fired, health.images))
    write_json(folder / "metrics.json", {"sae": figures})


if __name__ == "__main__":
    main()
