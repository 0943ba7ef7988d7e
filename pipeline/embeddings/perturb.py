"""Stage `perturb`: class tokens of red-shifted validation images (paper, Eq. 32).

An audit without a shortcut section leaves an empty folder.
"""

from pathlib import Path

from pipeline import layout
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import atomic, read_json, read_table
from pipeline.config import EmbedConfig
from pipeline.datasets.pixels import reading_of


def as_embedded(config: EmbedConfig, head: Path) -> EmbedConfig:
    """The settings in the precision that `auto` became for the images as they are.

    Shifted and plain embeddings are compared, so that a difference must not be one of arithmetic.
    """
    return config.model_copy(update={"precision": read_json(head / "model.json")["precision"]})


def main() -> None:
    """Embed an audit's red-shifted validation images."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    if audit.shortcut is None:
        with atomic(layout.perturbed(name)) as folder:
            folder.mkdir()
        return
    # Imported late: open_clip takes seconds, and most audits have nothing to do here.
    from pipeline.embeddings.embed import embed_audit
    from pipeline.models.catalog import load_clip

    clip = load_clip(layout.model(audit.model))
    manifest = layout.manifest(audit.dataset)
    images = read_table(manifest / "manifest.parquet")
    reading = reading_of(read_json(manifest / "reading.json"))
    held_out = images[images["split"] != "train"].reset_index(drop=True)
    config = as_embedded(params.entry(audit.embeddings), layout.head(audit.embeddings))
    for shift, delta in audit.shortcut.red_shift.items():
        embed_audit(
            clip,
            held_out,
            params.dataset(audit.dataset).root,
            reading,
            config,
            layout.perturbed(name) / str(shift),
            f"red {shift}",
            delta,
        )


if __name__ == "__main__":
    main()
