"""What every stage that checks does first."""

import argparse
import sys
from typing import Literal

from pipeline.config import ConfigError, Params, load_params


def chosen(description: str | None, kind: Literal["dataset", "model"]) -> tuple[str, Params]:
    """Read `--dataset KEY` or `--model KEY` and params.yaml, or stop with what is wrong.

    Args:
        description: what `--help` says, a stage's docstring.
        kind: what is checked.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(f"--{kind}", required=True, help=f"a key of {kind}s in params.yaml")
    key = getattr(parser.parse_args(), kind)
    try:
        params = load_params()
        find = params.dataset if kind == "dataset" else params.model
        find(key)
    except ConfigError as error:
        sys.exit(str(error))
    return key, params
