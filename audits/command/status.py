"""`audit status`: which stages of which audits would run again, and why."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from audits.command.lock import REMEDY, cut_off
from pipeline.config import ConfigError, load_params

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit status
  audit status scenes-tiny
  audit status --json

Exit code 0 in either case: what is stale is no error.
"""
INPUTS, OUTPUTS = "changed deps", "changed outs"
CODE = ("audits/", "pipeline/")


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "status",
        description="Say which stages of an audit `dvc repro publish@NAME` would run again, as DVC "
        "sees it: those that are stale and why, and those that come after them and run again where "
        "their inputs change. What several audits share is said of each. Runs nothing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="only this audit; else all")
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    parser.set_defaults(run=_run, command="status")


def _run(arguments: argparse.Namespace) -> str:
    found = states(load_params().chosen(arguments.name))
    if arguments.json:
        # Imported late: tables take half a second that the words do without.
        from pipeline.artifacts.store import json_text

        return json_text({"audits": found})
    return "\n".join(line for one in found for line in _said(one))


def states(names: list[str]) -> list[dict[str, Any]]:
    """Of each audit the stages up to `publish`, in the order of the DAG, by how they stand.

    `stale`: stage → reasons in words; `after`: stages that stand on a stale one; `fresh`: the rest.

    Raises:
        ConfigError: DVC cannot say, for another of its commands is at work, say.
    """
    # Imported late: it takes a second, which help does without.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from networkx import descendants, topological_sort

    try:
        with Repo() as repo, repo.lock:
            graph = repo.index.graph
            order = [stage.addressing for stage in reversed(list(topological_sort(graph)))]
            of = {stage.addressing: stage for stage in graph}
            below = {at: {one.addressing for one in descendants(graph, of[at])} for at in of}
            # `Repo.status` of several targets looks again at each stage that they share.
            targets = [f"publish@{name}" for name in names]
            asked = {s.addressing for at in targets for s in repo.stage.collect(at, with_deps=True)}
            changed: dict[str, Any] = {}
            for at in asked:
                changed |= of[at].status()
    except DvcException as error:
        said = REMEDY if cut_off() else f"DVC cannot say how the stages stand: {error}"
        raise ConfigError(said) from error
    found = []
    for name in names:
        last = f"publish@{name}"
        stages = [stage for stage in order if stage == last or stage in below[last]]
        stale = {stage: list(reasons(changed[stage])) for stage in stages if stage in changed}
        after = [stage for stage in stages if stage not in stale and below[stage] & stale.keys()]
        fresh = [stage for stage in stages if stage not in stale and stage not in after]
        found.append({"audit": name, "stale": stale, "after": after, "fresh": fresh})
    return found


def reasons(changes: list[Any]) -> Iterator[str]:
    """Why DVC would run a stage again, in words; from its own account of what has changed."""
    for change in changes:
        if not isinstance(change, Mapping):  # "changed command" and the like
            yield str(change)
            continue
        for path, how in change.get(INPUTS, {}).items():
            if isinstance(how, Mapping):
                yield from (f"setting {key} in {path}: {state}" for key, state in how.items())
            else:
                yield f"{'code' if path.startswith(CODE) else 'input'} {path}: {how}"
        for path, how in change.get(OUTPUTS, {}).items():
            yield f"output {path}: {how}"


def _said(one: dict[str, Any]) -> Iterator[str]:
    stale, after = one["stale"], one["after"]
    count = len(stale) + len(after) + len(one["fresh"])
    if not stale:
        yield f"{one['audit']}: {count} stages, all fresh"
        return
    yield (
        f"{one['audit']}: {count} stages, {len(stale)} stale, {len(after)} after these, "
        f"{len(one['fresh'])} fresh"
    )
    width = max(map(len, stale))
    for stage, why in stale.items():
        yield f"  {stage:{width}}  {'; '.join(why)}"
    if after:
        yield f"  then, where their inputs change: {', '.join(after)}"
