"""Stage `train_sae`: a top-k SAE on the train images' class tokens."""

import argparse

import torch

from pipeline import layout
from pipeline.config import load_params
from pipeline.images import set_threads
from pipeline.sae import files, training
from pipeline.store import read_embeddings, read_table, write_table


def main() -> None:
    """Train an audit's SAE; the images of other splits only draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audit", required=True, help="name under audits: in params.yaml")
    name = parser.parse_args().audit
    params = load_params()
    audit = params.audit(name)
    set_threads(params.threads, params.seed)
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
