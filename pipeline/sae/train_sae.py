"""Stage `train_sae`: a sparse autoencoder on the train images' embeddings, or an imported one.

A run that was killed goes on after its last whole epoch.
"""

from pipeline import layout
from pipeline.artifacts.resume import content_hash, work_key, workplace
from pipeline.artifacts.stage import begin, pick_device
from pipeline.artifacts.store import read_table, write_table
from pipeline.config import Params, SaeConfig
from pipeline.sae import files, health, imported, training
from pipeline.sae.blocks import EmbeddingBlocks


def open_blocks(params: Params, name: str) -> tuple[EmbeddingBlocks, health.Measure]:
    """An audit's train embeddings, and what measures an SAE on its other images, if any."""
    audit = params.audit(name)
    images = read_table(layout.manifest(audit.dataset) / "manifest.parquet", ["image_id", "split"])
    # The images of other splits only draw the curves.
    images["split"] = images["split"].where(images["split"] == "train", "held out")
    folder = layout.embeddings(audit.embeddings)
    columns = training.COLUMNS["class" if audit.dictionary else audit.sae.tokens]
    blocks = EmbeddingBlocks.open(folder, images, "train", columns)
    others = bool((images["split"] == "held out").any())
    held_out = EmbeddingBlocks.open(folder, images, "held out") if others else None
    return blocks, health.Measure(held_out)


def settled(config: SaeConfig) -> SaeConfig:
    """An SAE's settings with the device that `auto` means on this machine."""
    return config.model_copy(update={"device": pick_device(config.device, "sae.device")})


def training_key(name: str, params: Params) -> str:
    """Key of all that decides how an audit's SAE is trained, with its first seed.

    Checkpoints are reused where it is equal.
    """
    audit = params.audit(name)
    read = [
        layout.embeddings(audit.embeddings),
        layout.manifest(audit.dataset) / "manifest.parquet",
    ]
    inputs = {"files": content_hash(read), "sae": settled(audit.sae).model_dump()}
    return work_key("train_sae", {**inputs, "seed": params.seed, "threads": params.threads})


def main() -> None:
    """Train an audit's SAE, or take the one that its settings name."""
    name, params = begin(__doc__)
    config, given = settled(params.audit(name).sae), params.audit(name).dictionary
    blocks, measure = open_blocks(params, name)
    folder = layout.sae(name)
    with workplace(folder, training_key(name, params)) as checkpoints:
        if given is None:
            about = {**config.model_dump(), "seed": params.seed}
            sae, curves = training.train(blocks, config, params.seed, measure, checkpoints)
        else:
            about = given.model_dump(mode="json")
            sae, curves = imported.take(given, config, blocks, measure, params.seed)
        files.save(sae, folder, about)
        counts = [[int(count) for count in row] for row in curves.pop(health.DENSITY)]
        write_table(folder / "curves.csv", curves)
        epochs = curves["epoch"].tolist()
        density = health.densities(epochs, counts, measure.images)
        write_table(folder / "density.csv", density)


if __name__ == "__main__":
    main()
