"""What `audit add` says of what it has added."""

from audits.command.embeddings import users
from audits.command.params_text import Addition
from pipeline import layout
from pipeline.checks.problems import of_audit
from pipeline.config import HERE, ModelConfig, Params
from pipeline.places import Place, exists

__all__ = ["MISSING", "lacks", "summary"]

MISSING = "missing      "
"""What a line begins with that says what an audit lacks."""


def summary(name: str, addition: Addition, params: Params) -> str:
    """What was added, what has to be where, and what to do next, a line each."""
    added = [f"{section}.{key}" for section, keys in addition.entries.items() for key in keys]
    audit = params.audits[name]
    dataset = params.datasets[audit.dataset]
    models = dict.fromkeys((audit.model, dataset.labeler))
    return "\n".join(
        [
            f"params.yaml  has {', '.join(added)} now",
            f"images       {dataset.root} (kind {dataset.kind}), {_presence(dataset.root)}",
            f"vocabulary   {dataset.vocabulary}, {_presence(dataset.vocabulary)}",
            *(f"weights      {key}: {_weights(key, params.models[key])}" for key in models),
            *_embeddings(name, addition, params),
            f"verdicts     {layout.reviews(name)}, and what they are about in "
            f"{layout.reviewed(name)}: commit both",
            f"descriptions {layout.descriptions(audit.dataset)}, of classes, if you have better "
            "ones than their names: commit it",
            *(f"about        {line}" for line in addition.about),
            *(f"{MISSING}{line}" for line in lacks(name, params)),
            f"next         dvc repro publish@{name}",
        ]
    )


def lacks(name: str, params: Params) -> list[str]:
    """What an audit lacks, as far as it is known without a network."""
    return of_audit(params, name, ask_hub=False)


def _weights(key: str, model: ModelConfig) -> str:
    folder = layout.model(key)
    there = _presence(folder / layout.MODEL_CONFIG)
    if model.name == f"{HERE}/{key}":
        return f"{folder}, {there}"
    source = model.name if model.pretrained is None else f"{model.name} {model.pretrained}"
    return f"{source}, brought into {folder} by the stage fetch@{key}, {there}"


def _embeddings(audit: str, addition: Addition, params: Params) -> list[str]:
    """Which embeddings are made, and which are there already, a line each."""
    config = params.audits[audit]
    named = (config.embeddings, params.datasets[config.dataset].embeddings)
    lines = []
    for name in dict.fromkeys(named):
        others = [user for user in users(params, name) if user != f"audit {audit}"]
        model = params.embeddings[name].model
        there = "" if name in addition.entries["embeddings"] else ", in params.yaml already"
        shared = f", shared with {' and '.join(others)}" if others else ""
        lines.append(f"embeddings   {name}, the images through {model}{there}{shared}")
    return lines


def _presence(place: Place) -> str:
    try:
        return "is there" if exists(place) else "not there yet"
    except ConnectionError:
        return "out of reach"
