"""Stage `plan_shifts`: which images of an audit are shifted, and how.

It works in a moment and is all that `perturb` takes of the section `shortcut`, whose other keys
therefore embed no image anew. An audit without that section writes null.
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool

from pipeline import layout
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table, write_json
from pipeline.config import ShortcutConfig


def sampled(images: pd.DataFrame, config: ShortcutConfig) -> Bool[np.ndarray, " n"]:
    """Which images are shifted: of either side at most half of `train_images` and of
    `held_out_images`, in the order of their hashes, which is a random one that no seed decides.

    Args:
        images: sha256, split and label of the manifest, in any order.
        config: of the audit.
    """
    sides = [config.side(label) for label in images["label"]]
    positive = np.array([side is True for side in sides])
    negative = np.array([side is False for side in sides])
    order = np.argsort(images["sha256"].to_numpy(), kind="stable")
    chosen = np.zeros(len(images), dtype=bool)
    train = (images["split"] == "train").to_numpy()
    for split, most in ((train, config.train_images), (~train, config.held_out_images)):
        for side in (positive, negative):
            chosen[order[(split & side)[order]][: most // 2]] = True
    return chosen


def main() -> None:
    """Choose the images that an audit's shifts are tried on."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    config = audit.shortcut
    if config is None:
        write_json(layout.planned_shifts(name), None)
        return
    images = read_table(layout.manifest(audit.dataset) / "manifest.parquet")
    images = images[sampled(images, config)]
    train = images["split"] == "train"
    plan = {
        "train": images["image_id"][train].tolist(),
        "held_out": images["image_id"][~train].tolist(),
        "shifts": list(config.shifts.items()),  # pairs, since the keys of JSON are sorted
        "in_range": config.in_range,  # those in range are tried on the surroundings alone, too
        "mask": config.mask,
    }
    write_json(layout.planned_shifts(name), plan)


if __name__ == "__main__":
    main()
