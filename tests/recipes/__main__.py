"""Record what a recipe makes: `python -m tests.recipes embed`, after its number was raised."""

import argparse
import sys

from pipeline.artifacts.resume import recipe
from tests.recipes import record
from tests.recipes.results import RECIPES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.recipes", description=__doc__)
    parser.add_argument("names", nargs="+", choices=RECIPES, help="recipes of recipes.yaml")
    for name in parser.parse_args().names:
        number, result = recipe(name), RECIPES[name]()
        if record.path_of(name).exists():
            under, recorded = record.read(name)
            if number == under and record.changed(result, recorded):
                sys.exit(record.problem(name, number, result))
        record.write(name, number, result)


if __name__ == "__main__":
    main()
