"""Stage `locate`: make sure that a dataset from outside is where `params.yaml` says, as its kind.

Looks at the names of a few files (all rows of a table of images), at the texts of the dataset and
at what its audits need besides, so that a workflow which cannot run stops before it has opened an
image, and says all that is missing. Writes `kind`, `root` and `layout`.
"""

import sys

from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.checks.command import chosen
from pipeline.checks.problems import beside_dataset, layout_at, of_dataset
from pipeline.config import Params


def missing(params: Params, name: str) -> list[str]:
    """What a dataset and the audits on it lack, each problem once."""
    audits = [audit for audit, config in params.audits.items() if config.dataset == name]
    found = [of_dataset(params, name), *(beside_dataset(params, audit) for audit in audits)]
    return list(dict.fromkeys(line for lines in found for line in lines))


def main() -> None:
    """Write where one dataset is."""
    name, params = chosen(__doc__, "dataset")
    if problems := missing(params, name):
        sys.exit("\n".join(problems))
    config = params.dataset(name)
    found = {"kind": config.kind, "root": str(config.root), "layout": layout_at(params, name)}
    write_json(layout.source(name), found)


if __name__ == "__main__":
    main()
