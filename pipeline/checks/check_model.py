"""Stage `check_model`: make sure, before a model is fetched, that an audit can be run with it.

What it writes is always the same, so that a model is not fetched again for another audit.
"""

import argparse
import sys

from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.checks.problems import of_audit, of_model
from pipeline.config import ConfigError, Params, load_params


def in_vain(params: Params, key: str) -> list[str]:
    """Why a model need not be fetched: what all audits lack that use it, each problem once.

    Empty where one of them can be run; a model that no audit uses need only be there to be had.
    """
    users = [
        name
        for name, audit in params.audits.items()
        if key in (audit.model, params.dataset(audit.dataset).labeler)
    ]
    found = {name: of_audit(params, name) for name in users}
    if not users:
        return of_model(params, key)
    if not all(found.values()):
        return []
    return list(dict.fromkeys(line for lines in found.values() for line in lines))


def main() -> None:
    """Check one of the models under outside.models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="name under models: in params.yaml")
    key = parser.parse_args().model
    try:
        params = load_params()
        if key not in params.models:
            raise ConfigError(f"params.yaml has no models.{key}; it has {sorted(params.models)}")
    except ConfigError as error:
        sys.exit(str(error))
    if problems := in_vain(params, key):
        sys.exit("\n".join(problems))
    write_json(layout.checked_model(key), {"model": key})


if __name__ == "__main__":
    main()
