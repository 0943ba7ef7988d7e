"""Stage `check_texts`: make sure that what a dataset is named with can be read.

What it writes is always the same, so that other words re-run what reads them and nothing else.
"""

import sys

from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.checks.command import chosen
from pipeline.checks.problems import of_texts


def main() -> None:
    """Read the vocabulary and the descriptions of one dataset."""
    name, params = chosen(__doc__, "dataset")
    if problems := of_texts(params, name):
        sys.exit("\n".join(problems))
    write_json(layout.checked_texts(name), {"dataset": name})


if __name__ == "__main__":
    main()
