"""Stage `check_texts`: make sure that what a dataset is named with can be read.

What it writes is always the same, so that other words re-run what reads them and nothing else.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.config import ConfigError, load_params
from pipeline.embeddings.descriptions import read_descriptions


def unreadable(vocabulary: Path, descriptions: Path) -> list[str]:
    """What is wrong with a vocabulary and with a table of descriptions, a message each."""
    # Imported late: torch takes seconds.
    from pipeline.embeddings.texts import read_vocabulary

    found = faults(lambda: read_vocabulary(vocabulary))
    if descriptions.exists():
        return [*found, *faults(lambda: read_descriptions(descriptions))]
    return [
        *found,
        f"{descriptions} is missing, a table that may be empty: write a file of one line, "
        "label,description, as `audit add` does",
    ]


def faults(read: Callable[[], object]) -> list[str]:
    """The message of what a reader raises, if it does."""
    try:
        read()
    except (OSError, ValueError) as error:
        return [str(error)]
    return []


def main() -> None:
    """Read the vocabulary and the descriptions of one dataset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a key of datasets in params.yaml")
    name = parser.parse_args().dataset
    try:
        params = load_params()
        dataset = params.dataset(name)
    except ConfigError as error:
        sys.exit(str(error))
    if problems := unreadable(dataset.vocabulary, layout.descriptions(name)):
        sys.exit("\n".join(problems))
    write_json(layout.checked_texts(name), {"dataset": name})


if __name__ == "__main__":
    main()
