"""Stage `train_sae`: a top-k SAE on the train images' class tokens."""

import torch

from pipeline import layout
from pipeline.sae import files, training
from pipeline.stage import begin, train_deterministically
from pipeline.store import read_embeddings, read_table, write_table


def main() -> None:
    """Train an audit's SAE; the images of other splits only draw the curves."""
    name, params = begin(__doc__)
    train_deterministically()
    audit = params.audit(name)
    embeddings = read_embeddings(layout.embeddings(name), "x")
    images = read_table(layout.manifest(audit.dataset) / "manifest.parquet").set_index("image_id")
    train = torch.from_numpy(images.loc[embeddings.image_ids, "split"].to_numpy() == "train")
    x = torch.from_numpy(embeddings.values)
    sae, curves = training.train(x[train], x[~train], audit.sae, params.seed)
    folder = layout.sae(name)
    files.save(sae, folder, {"seed": params.seed, **audit.sae.model_dump()})
    write_table(folder / "curves.csv", curves)


if __name__ == "__main__":
    main()
