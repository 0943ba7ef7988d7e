"""Stage `embed_texts`: class prompts through the audited model's text tower."""

from functools import partial

import pyarrow as pa

from pipeline import layout
from pipeline.artifacts.stage import begin, pick_device
from pipeline.artifacts.store import read_json, vector_column, write_table
from pipeline.datasets.descriptions import descriptions
from pipeline.embeddings.kept_texts import kept_texts
from pipeline.embeddings.texts import FORMS, class_texts, prompts_of
from pipeline.models.catalog import load_clip, text_embeddings


def main() -> None:
    """Embed every class in every prompt form."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    clip = load_clip(layout.model(audit.model))
    entry = audit.embeddings
    clip.model.to(pick_device(params.entry(entry).device, f"embeddings.{entry}.device"))
    dataset = params.dataset(audit.dataset)
    classes = read_json(layout.manifest(audit.dataset) / "classes.json")
    labels, names = [c["label"] for c in classes], [c["name"] for c in classes]
    table = dataset.descriptions == "table"
    source = layout.descriptions(audit.dataset) if table else dataset.descriptions
    described = descriptions(source, labels, names)
    embed = partial(text_embeddings, clip)
    tables = []
    for form in FORMS:
        prompts = [
            prompts_of(name, description, form, dataset.templates)
            for name, description in zip(names, described, strict=True)
        ]
        t = kept_texts(clip, prompts, partial(class_texts, prompts, embed))
        columns = {
            "form": [form] * len(classes),
            "label": labels,
            "t": vector_column(t.numpy()),
        }
        tables.append(pa.table(columns))
    write_table(layout.texts(name), pa.concat_tables(tables))


if __name__ == "__main__":
    main()
