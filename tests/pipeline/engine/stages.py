"""All stages that know engines, with one of them, on the inputs of tests/recipes.

python -m tests.pipeline.engine.stages ENGINE FOLDER
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from pipeline.datasets import opening
from pipeline.engine.crew import Engine
from tests.recipes import results

STAGES = ("prepare", "embed", "perturb", "encode")


def main(engine: str, out: Path) -> None:
    """Leave what the stages make in folders of out."""
    for name in STAGES:

        @contextmanager
        def kept(where: Path = out / name) -> Iterator[str]:
            where.mkdir(parents=True)
            for linked in ("pipeline", "recipes.yaml"):  # nodes find the code beside the data
                (where / linked).symlink_to(results.ROOT / linked)
            yield str(where)

        of = classmethod(lambda cls, params: cls(engine, params.threads, params.seed))
        with (
            patch.object(results, "TemporaryDirectory", kept),
            patch.object(opening, "CHUNK", 3),
            patch.object(Engine, "of", of),
        ):
            results.RECIPES[name]()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
