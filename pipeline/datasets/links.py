"""Symbolic links that DVC cannot follow.

DVC follows a root that is a link, and reads a file through its link; but it lists no folder behind
a link inside the root, so that changes there go unnoticed, and it stops at a link to nothing.
"""

import os
from pathlib import Path

from pipeline.places import Place

__all__ = ["refuse_links"]


def refuse_links(root: Place) -> None:
    """Make sure that DVC sees every file that an adapter may read; a store has no links.

    Lists all folders below root and opens no file. Hidden links to folders do not count, for no
    adapter reads them.

    Raises:
        ValueError: below root is a link to a folder, or one to nothing or to itself; the message
            names the first and says what to put there instead.
    """
    if not isinstance(root, Path):
        return
    folders: list[str] = []
    broken: list[str] = []
    pending = [str(root)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if not entry.is_symlink():
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                elif not os.path.exists(entry.path):
                    broken.append(entry.path)
                elif entry.is_dir() and not entry.name.startswith("."):
                    folders.append(entry.path)
    if folders:
        path = min(folders)
        real = os.path.realpath(path)
        raise ValueError(
            f"{path} is a symbolic link to the folder {real}{_more(folders)}: DVC does not look "
            "behind links inside a dataset, so changed images would go unnoticed. Put the folder "
            f"itself there: move it, or `rm {path} && cp -al {real} {path}`, which makes hard "
            "links on the same disk and takes no space (`cp -r` on another); or name the folder "
            "that holds the real ones as root. A root that is a link itself is fine, and so are "
            "links to files"
        )
    if broken:
        path = min(broken)
        raise ValueError(
            f"{path} is a symbolic link to {os.readlink(path)}, where nothing is{_more(broken)}: "
            "DVC stops at such a link. Remove it, or put there what it should lead to"
        )


def _more(paths: list[str]) -> str:
    return f" (and {len(paths) - 1} more such links below the root)" if paths[1:] else ""
