"""Pinning of components: in Git, or by DVC where they are too much for it."""

import shutil
import subprocess
import sys

from audits.review.component_files import PINNED, PRESENT, pointer, read_next_id
from audits.review.verdict_files import ReviewError
from pipeline import layout
from pipeline.artifacts.store import atomic

GIT_BYTES = 10**6
"""Size above which DVC keeps the file."""


def check_components(audit: str) -> None:
    """See that the components there are now may be pinned.

    Raises:
        ReviewError: the stage `review` has not run since others were pinned, so that ids might be
            given twice; or a file is missing or cannot be read.
    """
    path = layout.reviewed(audit) / PINNED
    present = read_next_id(layout.audit(audit, "review") / PRESENT)
    if not path.exists() and not pointer(path).exists():
        return
    if present < (pinned := read_next_id(path)):
        raise ReviewError(
            f"{path} has had {pinned} components, the last run of the stage review knew of "
            f"{present}: run `dvc repro review@{audit}` first"
        )


def pin_components(audit: str) -> None:
    """Pin the components there are now.

    Raises:
        ReviewError: DVC is to keep them and `dvc add` failed; what it said, and what to do.
    """
    path = layout.reviewed(audit) / PINNED
    with atomic(path) as temporary:
        shutil.copyfile(layout.audit(audit, "review") / PRESENT, temporary)
    if not pointer(path).exists() and path.stat().st_size <= GIT_BYTES:
        return
    command = [sys.executable, "-m", "dvc", "add", str(path)]
    added = subprocess.run(command, capture_output=True, text=True)
    if added.returncode != 0:
        raise ReviewError(
            f"`dvc add {path}` failed: {(added.stderr or added.stdout).strip()}\nVerdicts are "
            f"written; put that right, then `audit review {audit} --pin`"
        )
