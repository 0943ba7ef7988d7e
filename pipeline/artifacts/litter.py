"""What desktops leave in every folder: no work of the workflow's, and nobody's images."""

__all__ = ["is_litter"]

LITTER = {
    "$recycle.bin",
    ".ds_store",
    "@eadir",
    "@recycle",
    "#recycle",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "icon\r",
    "lost+found",
    "network trash folder",
    "picasa.ini",
    "system volume information",
    "temporary items",
    "thumbs.db",
    "thumbs.db:encryptable",
    "zbthumbnail.info",
}
"""What desktops, file servers and archivers leave in folders, in lower case."""


def is_litter(name: str) -> bool:
    """Whether a desktop, a file server or an archiver left a file or folder of that name."""
    return name.startswith("._") or name.casefold() in LITTER
