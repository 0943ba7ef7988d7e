"""What `dvc.lock` says of stages: which stand on which, and what they have made."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import yaml

__all__ = [
    "digest",
    "lock_hashes",
    "makers",
    "manifest_digest",
    "outside",
    "read_lock",
    "upstream",
]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The fast one, where libyaml is there."""
Stages = Mapping[str, Mapping[str, Any]]
"""Name of a stage → its entry."""


def read_lock(text: str) -> dict[str, Any]:
    """The stages of a `dvc.lock`."""
    loaded = yaml.load(text, Loader=LOADER)
    return dict(loaded["stages"])


def upstream(stages: Stages, target: str) -> list[str]:
    """A stage and all that it stands on, each after what it stands on itself.

    Raises:
        KeyError: there is no such stage.
    """
    made = _made(stages)
    done: dict[str, None] = {}
    waiting = [(target, False)]
    while waiting:
        name, entered = waiting.pop()
        if name in done:
            continue
        if entered:
            done[name] = None
            continue
        waiting.append((name, True))
        deps = stages[name].get("deps", [])
        found = {maker for dep in deps for maker in makers(dep["path"], made)}
        waiting += [(maker, False) for maker in sorted(found, reverse=True)]
    return list(done)


def outside(stages: Stages, target: str) -> list[str]:
    """Paths that a stage and those before it depend on and that no stage makes, in order."""
    made = _made(stages)
    paths = {dep["path"] for name in upstream(stages, target) for dep in stages[name]["deps"]}
    return sorted(path for path in paths if not any(makers(path, made)))


def digest(entry: Mapping[str, Any]) -> str:
    """Hash of a dependency or output, whatever it is of."""
    return str(entry.get(entry.get("hash", "md5"), ""))


def lock_hashes(stages: Stages, paths: Sequence[str]) -> dict[str, str]:
    """Hashes of the outputs of stages that some paths are, or lie in.

    Of these only, and not of what they were made from: a report is not made anew where that changed
    and these did not. `dvc.lock` of the same commit has the rest.

    Args:
        stages: of `dvc.lock`.
        paths: files read, relative to the repository's root.

    Returns:
        path of the output → hash.
    """
    read = [PurePath(path) for path in paths]
    return {
        out: found
        for out, found in _hashes(stages).items()
        if any(path.is_relative_to(out) for path in read)
    }


def manifest_digest(stages: Stages, manifest: Path) -> str:
    """DVC's hash of a manifest, or of the folder it lies in.

    `dvc repro` writes a stage's entry as soon as the stage is done, so it is there for later ones.

    Raises:
        KeyError: no stage has the manifest as an output.
    """
    outs = _hashes(stages)
    for path in (manifest, manifest.parent):
        if path.as_posix() in outs:
            return outs[path.as_posix()]
    raise KeyError(
        f"dvc.lock has no output {manifest}: run `dvc repro prepare@{manifest.parent.name}`"
    )


def makers(path: str, made: Mapping[str, str]) -> Iterator[str]:
    """Stages that make a path, what it lies in, or what lies in it, by output → stage."""
    for out, stage in made.items():
        if f"{path}/".startswith(f"{out}/") or f"{out}/".startswith(f"{path}/"):
            yield stage


def _hashes(stages: Stages) -> dict[str, str]:
    """Output → hash, of those that have one."""
    outs = (out for stage in stages.values() for out in stage.get("outs", []))
    return {out["path"]: digest(out) for out in outs if digest(out)}


def _made(stages: Stages) -> dict[str, str]:
    return {out["path"]: name for name, stage in stages.items() for out in stage.get("outs", [])}
