"""Rows of a release's table whose images are not there: the folder holds a part of the release."""

from collections.abc import Sequence

__all__ = ["absent"]

SHOWN = 3


def absent(table: str, rows: int, missing: Sequence[str], folder: str) -> list[str]:
    """What is said of them; nothing where every row has its image.

    A part of a release with the table of the whole is what many have, so they are no faults; but
    half a download looks the same, so they are said with their count.

    Args:
        table: name of the table.
        rows: count of its rows.
        missing: images of rows without a file.
        folder: where the files would be.

    Raises:
        FileNotFoundError: no row has an image.
    """
    if not missing:
        return []
    shown = ", ".join(missing[:SHOWN]) + (" and others" if missing[SHOWN:] else "")
    if len(missing) == rows:
        raise FileNotFoundError(
            f"{folder} holds none of the {rows:,} images of {table}, such as {shown}: put the "
            "images there, or the table to its images"
        )
    return [
        f"{len(missing):,} of {rows:,} rows of {table} have no image in {folder} ({shown}): it is "
        "taken for a part of the release; if it should be whole, fetch the images again"
    ]
