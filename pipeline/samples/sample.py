"""Stage `sample`: render a sample dataset, with failures planted in it whose truth is known."""

import argparse

from pipeline import layout
from pipeline.artifacts.store import atomic, write_json
from pipeline.config import load_params
from pipeline.samples import lesions, scenes


def main() -> None:
    """Render one of the sample datasets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, choices=["scenes", "lesions"])
    name = parser.parse_args().dataset
    params = load_params()
    samples = params.samples
    root = layout.rendered(name)
    with atomic(root) as folder:
        if name == "scenes":
            scenes.render(folder, samples.scenes, params.seed, samples.workers)
        else:
            lesions.render(folder, samples.lesions, params.seed, samples.workers)
    write_json(layout.source(name), {"kind": "rendered", "root": str(root)})


if __name__ == "__main__":
    main()
