"""Stage `check_model`: make sure, before a model is fetched, that an audit can be run with it.

What it writes is always the same, so that a model is not fetched again for another audit.
"""

import sys

from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.checks.command import chosen
from pipeline.checks.problems import of_audit, of_model
from pipeline.config import Params


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
    key, params = chosen(__doc__, "model")
    if problems := in_vain(params, key):
        sys.exit("\n".join(problems))
    write_json(layout.checked_model(key), {"model": key})


if __name__ == "__main__":
    main()
