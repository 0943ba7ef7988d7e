"""Files that other stages have made."""

from pathlib import Path

__all__ = ["existing"]


def existing(path: Path, stage: str) -> Path:
    """path, or an error that names the stage which makes it."""
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: run `dvc repro {stage}` to make it, or `dvc pull` in a clone"
        )
    return path
