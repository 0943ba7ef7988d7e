"""`audit verify`: an audit made anew in a clean copy, and compared with what is committed."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from audits.diff.difference import difference
from audits.diff.places import find_reports
from audits.diff.sections import text
from audits.history.lock import read_lock
from audits.history.versions import at, git
from audits.output import show
from audits.verify.comparison import findings, metrics, stage
from audits.verify.copy import MARK, CopyError, TakenError, make_copy, plan
from audits.verify.outcome import Verified
from audits.verify.outputs import Committed
from audits.verify.repro import repro
from pipeline import layout
from pipeline.artifacts.store import json_text
from pipeline.config import Params, load_params

LOCK = Path("dvc.lock")
DESCRIPTION = """\
Make an audit anew in a clean copy of a commit, with dvc repro and without its run cache, and
compare: metrics and findings with the tolerances of params.yaml, section verify, and the outputs of
every stage in the order of the DAG, so that the first one that differs is named. Exit code 1 where
something is beyond its tolerance. Work tree, DVC's cache and MLflow stay as they are. The copy is
deleted if all holds; else its path is told, and --folder goes on in it."""
EXAMPLES = """\
examples:
  audit verify scenes-tiny --quick
  audit verify scenes-tiny --commit HEAD~1 --folder /tmp/again
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "verify",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="AUDIT", help="the audit's name")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="keep what costs hours, such as embeddings and SAE, and compute what follows from it",
    )
    parser.add_argument("--commit", metavar="REVISION", default="HEAD", help="else HEAD")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where the copy goes, or where one goes on that was stopped; else a new folder in the "
        "system's temporary one",
    )
    parser.add_argument("--keep", action="store_true", help="keep the copy if all holds, too")
    parser.add_argument("--json", action="store_true", help="print JSON in place of tables")
    parser.set_defaults(run=_run, command="verify")


def _run(arguments: argparse.Namespace) -> str:
    params = load_params()
    params.audit(arguments.name)
    (commit,) = git("rev-parse", "--verify", f"{arguments.commit}^{{commit}}")
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix=f"verify-{arguments.name}-"))
    try:
        found = _verify(params, arguments.name, commit, folder, arguments.quick)
    except TakenError:
        raise
    except BaseException:
        quick = " --quick" if arguments.quick else ""
        again = f"audit verify {arguments.name}{quick} --commit {commit} --folder {folder}"
        if (folder / MARK).exists():
            _say(f"the copy is kept, and this goes on in it: {again}")
        elif arguments.folder is None:
            shutil.rmtree(folder)
        raise
    said = text(found.summary(), found.sections())
    if arguments.json:
        said = json_text(found.as_json())
    if found.holds and not arguments.keep:
        shutil.rmtree(folder)
    else:
        _say(f"the copy is kept: {folder}")
    if not found.holds:
        show(said)
        sys.exit(1)
    return said


def _verify(params: Params, name: str, commit: str, folder: Path, quick: bool) -> Verified:
    lock = at(commit, LOCK)
    if lock is None:
        raise CopyError(f"{commit[:8]} has no {LOCK}: run `dvc repro`, and commit it")
    stages = read_lock(lock)
    planned = plan(stages, f"report@{name}", quick)
    _say(f"{name} at {commit[:8]} in {folder}: {len(planned.computed)} stages to compute")
    make_copy(Path().resolve(), commit, planned, stages, folder)
    repro(folder, planned, _say)
    _say("comparing")
    before = find_reports(commit, params)[name]
    now = find_reports(str(folder / layout.report(name)), params)[name]
    change = difference(before, now, params.audit(name).review)
    committed, made = Committed(commit), read_lock((folder / LOCK).read_text(encoding="utf-8"))
    relative = params.verify.relative
    outcomes = [
        stage(one, stages[one], made[one], committed, folder, relative) for one in planned.computed
    ]
    judged = metrics(before.metrics, now.metrics, params.verify)
    return Verified(
        audit=name,
        commit=commit,
        kept=planned.kept,
        stages=outcomes,
        metrics=judged,
        findings=findings(change, params.verify),
        origins=change.origins,
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
