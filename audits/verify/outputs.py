"""The files of stages' outputs: as a commit has them, and as a copy made them."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from audits.history.lock import digest
from audits.history.versions import at, git
from pipeline.artifacts.shards import content
from pipeline.artifacts.store import ELSEWHERE, SHARD, files_in

__all__ = ["Committed", "Files", "made_in"]

Files = Mapping[str, Callable[[], bytes]]
"""Path → what reads it."""


class Committed:
    """Outputs of a commit, in Git or in DVC's cache."""

    def __init__(self, commit: str) -> None:
        self.commit = commit

    @cached_property
    def tracked(self) -> set[str]:
        """Paths that Git keeps."""
        return set(git("ls-tree", "-r", "--name-only", self.commit))

    def files(self, out: Mapping[str, Any]) -> Files | None:
        """Files of an output of `dvc.lock`; None where the cache lacks one."""
        path = str(out["path"])
        if path in self.tracked:
            text = at(self.commit, Path(path))
            assert text is not None
            return {path: text.encode}
        # Imported late: half a second that a report which is the same does without.
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        value = digest(out)
        found = {path: value}
        with Repo() as repo:
            cache = repo.cache.local
            try:
                if value.endswith(".dir"):
                    tree = Tree.load(cache, HashInfo("md5", value))
                    found = {"/".join((path, *key)): one.value for key, _, one in tree}
            except (DvcException, OSError):
                return None
            paths = {name: Path(cache.oid_to_path(one)) for name, one in found.items()}
        if not all(one.exists() for one in paths.values()):
            return None
        return dict(_with_content(name, one) for name, one in paths.items())


def made_in(folder: Path, path: str) -> Files | None:
    """Files of an output in a copy; None where it is not there."""
    where = folder / path
    if where.is_file():
        return {path: where.read_bytes}
    if not where.is_dir():
        return None
    found = files_in(where)
    return dict(_with_content(file.relative_to(folder).as_posix(), file) for file in found)


def _with_content(name: str, file: Path) -> tuple[str, Callable[[], bytes]]:
    """What reads a file; of a line about a shard in a store, the shard, under its own name."""
    if name.endswith(ELSEWHERE) and SHARD.fullmatch(name.rpartition("/")[2]):
        return name.removesuffix(ELSEWHERE), lambda: content(file)
    return name, file.read_bytes
