"""What goes out of params.yaml before an audit is written into it anew."""

from typing import Any, NamedTuple

from pipeline import layout
from pipeline.config import Params

__all__ = ["Replaced", "replaced"]


class Replaced(NamedTuple):
    """Entries that go, and params.yaml without them."""

    entries: dict[str, list[str]]
    """Section → names."""
    outside: dict[str, list[str]]
    """Key of outside → names."""
    left: Params

    def said(self) -> str:
        """The entries by their keys."""
        return ", ".join(
            f"{section}.{key}" for section, keys in self.entries.items() for key in keys
        )


def replaced(params: Params, name: str, kept: set[str]) -> Replaced:
    """An audit, and what nothing but it uses: its dataset, models and embeddings.

    Samples and the model that is trained on them are the workflow's own and stay.

    Args:
        params: params.yaml.
        name: the audit's; params.yaml has it.
        kept: datasets and models, as section.key, that the command names and does not describe.
    """
    audit = params.audits[name]
    audits = {key: other for key, other in params.audits.items() if key != name}
    used = {other.dataset for other in audits.values()}
    data = params.datasets[audit.dataset]
    datasets = [
        key
        for key in params.outside.datasets
        if key == audit.dataset and key not in used and f"datasets.{key}" not in kept
    ]
    others = [other for key, other in params.datasets.items() if key not in datasets]
    used = {other.embeddings for other in audits.values()}
    used |= {other.embeddings for other in others}
    own = dict.fromkeys((audit.embeddings, data.embeddings))
    embeddings = [key for key in own if key not in used]
    used = {other.model for other in audits.values()} | {other.labeler for other in others}
    used |= {entry.model for key, entry in params.embeddings.items() if key not in embeddings}
    models = [
        key
        for key in dict.fromkeys((audit.model, data.labeler))
        if key not in used and key != layout.PRETRAINED and f"models.{key}" not in kept
    ]
    entries = {
        "datasets": datasets,
        "models": models,
        "embeddings": embeddings,
        "audits": [name],
    }
    outside = {
        "datasets": datasets,
        "models": [key for key in models if key in params.outside.models],
    }
    left: dict[str, Any] = {
        section: {key: one for key, one in getattr(params, section).items() if key not in gone}
        for section, gone in entries.items()
    }
    return Replaced(entries, outside, params.model_copy(update=left))
