"""One finished MLflow run for each version of an audit's report, and one for each comparison.

Nothing in MLflow is idempotent, so a version is known by a fingerprint of its content, kept as a
tag: a run that has it and is finished gets back artifacts that it has lost and is left alone
otherwise, one that a kill left unfinished is replaced.
The run of a dataset's comparison stands above those of the audits it compares.
Runs go to `MLFLOW_TRACKING_URI` if that is set, else to `mlflow.db` and `mlartifacts/` in the
repository's root, whose artifacts are found again after it was moved or copied.
"""

import argparse
import sys
from collections.abc import Sequence

from audits.publish.runs import run


def main(arguments: Sequence[str] | None = None) -> None:
    """Publish; what a user can put right is one message and exit code 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--audit", help="name under audits: in params.yaml")
    choice.add_argument("--dataset", help="name under datasets: whose comparison is published")
    choice.add_argument(
        "--sync",
        action="store_true",
        help="fill an empty MLflow from every report and comparison, and put back artifacts that "
        "were lost; no receipts",
    )
    chosen = parser.parse_args(arguments)
    try:
        run(chosen)
    except (OSError, ValueError) as error:
        sys.exit(f"publish: {error}")


if __name__ == "__main__":
    main()
