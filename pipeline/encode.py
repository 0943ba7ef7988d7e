"""Stage `encode`: sparse codes of all images, and the health of the SAE that made them."""

import numpy as np
import pyarrow as pa
import torch

from pipeline import layout
from pipeline.attribution import Codes
from pipeline.models.files import read_head, read_texts
from pipeline.sae import files, training
from pipeline.sae.health import alive_fraction, zero_shot_agreement
from pipeline.stage import begin
from pipeline.store import (
    atomic,
    read_embeddings,
    read_json,
    read_table,
    write_json,
    write_shard,
)


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


def main() -> None:
    """Encode an audit's embeddings, `shard_rows` images a shard, and measure the SAE on them."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    sae = files.load(layout.sae(name))
    embeddings = read_embeddings(layout.embeddings(name), "x")
    x = torch.from_numpy(embeddings.values)
    codes = training.encode_blocks(sae, x)
    rows = audit.embed.shard_rows
    with atomic(layout.codes(name)) as folder:
        folder.mkdir(parents=True)
        for number, start in enumerate(range(0, len(x), rows)):
            part = slice(start, start + rows)
            shard = Codes(codes.component[part], codes.activation[part])
            write_shard(folder, number, codes_table(embeddings.image_ids[part], shard))

    manifest = layout.manifest(audit.dataset)
    images = read_table(manifest / "manifest.parquet").set_index("image_id")
    held_out = torch.from_numpy(images.loc[embeddings.image_ids, "split"].to_numpy() != "train")
    labels = [c["label"] for c in read_json(manifest / "dataset.json")["classes"]]
    texts = read_texts(layout.texts(name), labels)
    x_hat = sae.reconstruct(Codes(codes.component[held_out], codes.activation[held_out]))
    agreement = zero_shot_agreement(
        x[held_out], x_hat, texts["short"], read_head(layout.head(name))
    )
    metrics = {
        **training.health(sae, x[held_out]),
        "alive_fraction": alive_fraction(codes, len(sae.atoms)),
        "zero_shot_agreement": agreement,
    }
    write_json(layout.audit(name, "sae") / "metrics.json", {"sae": metrics})


if __name__ == "__main__":
    main()
