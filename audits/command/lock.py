"""A `dvc.lock` that was cut off, and what to do about it."""

from pathlib import Path

REMEDY = (
    "dvc.lock is not whole: DVC writes it after every stage, and was stopped meanwhile. `git "
    "restore dvc.lock` brings back the last commit's; what was computed since then is taken from "
    "DVC's cache by the next run and not computed again"
)


def cut_off(lock: Path = Path("dvc.lock")) -> bool:
    """Whether DVC cannot read a `dvc.lock`. One that is not there is whole."""
    # Imported late: it takes a second, which help does without.
    from dvc.exceptions import DvcException
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.strictyaml import load

    if not lock.exists():
        return False
    try:
        load(str(lock), COMPILED_LOCKFILE_SCHEMA)
    except DvcException:
        return True
    return False
