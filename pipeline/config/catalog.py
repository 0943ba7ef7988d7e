"""`catalog.yaml`: datasets and models ready to be audited, and what new entries are filled with.

No stage reads it: `audit add` writes entries out in full, and an error about a key that is missing
in params.yaml quotes it.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from pipeline.config.base import ConfigError
from pipeline.config.yaml_faults import not_yaml

__all__ = [
    "CATALOG",
    "default_audit",
    "default_dataset",
    "default_embeddings",
    "merged",
    "read_catalog",
]

CATALOG = Path("catalog.yaml")
SECTIONS = ("defaults", "datasets", "models", "audits")


def read_catalog(path: Path = CATALOG) -> dict[str, Any]:
    """The content of catalog.yaml.

    Raises:
        ConfigError: it is missing or no YAML, or a section is.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        catalog = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error}): run from the repository's root") from (
            error
        )
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise not_yaml(path, text, error) from error
    found = catalog if isinstance(catalog, dict) else {}
    if missing := [name for name in SECTIONS if not isinstance(found.get(name), dict)]:
        raise ConfigError(f"{path} has no section {', '.join(missing)}")
    return found


def default_dataset(catalog: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Settings of a dataset: its own in the catalog over those of any."""
    return merged(catalog["defaults"]["dataset"], catalog["datasets"].get(name, {}))


def default_audit(catalog: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Settings of an audit on a dataset: those of the dataset's audits over those of any."""
    return merged(catalog["defaults"]["audit"], catalog["audits"].get(dataset, {}))


def default_embeddings(catalog: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of any embeddings."""
    return deepcopy(dict(catalog["defaults"]["embeddings"]))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of base in which over's values stand, in mappings key by key."""
    found = deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(found.get(key), dict) and isinstance(value, dict)
        found[key] = merged(found[key], value) if both else deepcopy(value)
    return found
