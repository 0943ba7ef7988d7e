"""Stage `locate`: make sure that a dataset from outside is where `params.yaml` says, as its kind.

Looks at the names of folders and files, at `images.csv`, and whether the models of the dataset's
audits can be had, so that a workflow which cannot run stops before it has opened an image. Writes
`kind`, `root` and `layout`.
"""

import argparse
import sys

from pipeline import layout
from pipeline.config import ConfigError, DatasetConfig, Params, load_params
from pipeline.datasets.adapters import layout as layout_of
from pipeline.datasets.names import check_utf8
from pipeline.store import write_json


def locate(name: str, config: DatasetConfig) -> dict[str, str]:
    """What there is at a dataset's root.

    Args:
        name: the dataset's name in params.yaml.
        config: its entry there.

    Returns:
        `kind`, `root`, and `layout`, the name of the layout or of the releases found.

    Raises:
        ValueError: there is no such folder, it does not look like its kind, or it holds names
            that are not UTF-8; the message says how it should be.
    """
    root = config.root
    try:
        found = layout_of(config)
    except (OSError, ValueError) as error:
        problem = f"does not look like kind {config.kind}" if root.is_dir() else "is no folder"
        raise ValueError(
            f"datasets.{name}.root is {str(root)!r}, which "
            f"{problem if root.exists() else 'does not exist'}: put the dataset there, or name its "
            f"place in params.yaml (audit add --root ...). {error}"
        ) from error
    check_utf8(root)
    return {"kind": config.kind, "root": str(root), "layout": found}


def check_models(name: str, params: Params) -> None:
    """Make sure that the labeler and the audited models of a dataset are there, or can be fetched.

    Raises:
        ConfigError: one is not; the message says what to put where.
    """
    audited = [audit.model for audit in params.audits.values() if audit.dataset == name]
    for key in sorted({params.dataset(name).labeler, *audited}):
        if key == layout.PRETRAINED or layout.model(key).exists():
            continue
        if key not in params.outside.models:
            raise ConfigError(
                f"{layout.model(key)} is missing: put open_clip_config.json and "
                f"open_clip_model.safetensors there, or say in models.{key}.name where to fetch "
                "them from"
            )
        # Imported late: open_clip takes seconds.
        from pipeline.models.hub import check

        check(key, params.models[key])


def main() -> None:
    """Write where one dataset is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a key of datasets in params.yaml")
    name = parser.parse_args().dataset
    try:
        params = load_params()
        config = params.dataset(name)
        source = locate(name, config)
        check_models(name, params)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    write_json(layout.source(name), source)


if __name__ == "__main__":
    main()
