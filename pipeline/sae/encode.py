"""Stage `encode`: sparse codes of all images, and the health of the SAE that made them."""

from pathlib import Path

import numpy as np
import torch

from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin, pick_device
from pipeline.artifacts.store import atomic, read_json, shards, write_shard
from pipeline.attribution.head import cosine_outputs
from pipeline.embeddings.vectors import read_vectors
from pipeline.models.files import read_head, read_texts
from pipeline.sae import files
from pipeline.sae.codes import codes_table
from pipeline.sae.health import BestClass
from pipeline.sae.model import encode_blocks
from pipeline.sae.train_sae import open_blocks


def best_class(name: str, manifest: Path, head: Path) -> BestClass:
    """Zero-shot classification by an audit's prompts of the short class names."""
    labels = [entry["label"] for entry in read_json(manifest / "classes.json")]
    t, found = read_texts(layout.texts(name), labels)["short"], read_head(head)
    return lambda x: cosine_outputs(x, t, found).argmax(dim=-1)


@torch.inference_mode()
def main() -> None:
    """Encode an audit's embeddings shard by shard, and measure the SAE on held-out images."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    sae = files.load(layout.sae(name)).to(pick_device(audit.sae.device, "sae.device"))
    fired = torch.zeros(len(sae.atoms), dtype=torch.bool)
    with atomic(layout.codes(name)) as folder:
        folder.mkdir(parents=True)
        for number, path in enumerate(shards(layout.embeddings(audit.embeddings))):
            embeddings = read_vectors(path, "x")
            x = torch.from_numpy(embeddings.values.astype(np.float32))
            codes = encode_blocks(sae, x)
            fired[codes.component[codes.activation > 0]] = True
            write_shard(folder, number, codes_table(embeddings.image_ids, codes))

    _, measure = open_blocks(params, name)
    measure.best_class = best_class(
        name, layout.manifest(audit.dataset), layout.head(audit.embeddings)
    )
    gaps = Gaps()
    figures = measure.health(sae).figures(gaps) | {"alive_fraction": float(fired.float().mean())}
    gaps.write_metrics(layout.audit(name, "sae") / "metrics.json", {"sae": figures})


if __name__ == "__main__":
    main()
