"""Kills `dvc repro` with SIGKILL at random moments of every stage, and looks what it comes to.

    python -m benchmarks.faults --work DIR                  # the sample DAG, 100 kills
    python -m benchmarks.faults --work DIR --kills 10 --targets report@lesions-tiny

A copy of the workflow runs undisturbed and gives each stage's time; a second one is killed, with
all its processes, a random part of that time after a stage has begun, run again, and killed in the
next stage whose turn it is. Where a stage that goes on where it was ends before its next moment, a
later stage gets one in its place. A dvc.lock that DVC was killed in the middle of writing is put
back as it was before, as `git restore dvc.lock` does where there is Git, and counted. Afterwards
`dvc repro` has to complete, every stage's outputs have to be those of the undisturbed run, byte for
byte, and after `audit clean --delete` both copies have to hold the same files. Prints a row a
stage, and exits with 1 where anything differs.
"""

import argparse
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml

from audits.command.lock import cut_off
from benchmarks.worlds import copied, run
from pipeline.artifacts.store import files_in

MID_WRITE = Path(__file__).with_name("mid_write")
BEGINS = "Running stage '"
LOG = "log.txt"
PASSED_OVER = {".dvc", "__pycache__", LOG}
"""What Python, DVC and these runs keep in a copy."""
TARGETS = ("report@scenes-tiny", "report@lesions-tiny")
"""Before anything is published: a run of MLflow has an id and a time of its own."""


class Kill(NamedTuple):
    """A kill to come."""

    stage: str
    after: float
    """Seconds from its beginning."""


def command(targets: tuple[str, ...]) -> tuple[str, ...]:
    """`dvc repro` that computes everything itself."""
    return ("dvc", "repro", "--no-run-cache", *targets)


def environment() -> dict[str, str]:
    """The environment of `dvc repro`, whose lines are wanted as they are written."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def dies_writing(folder: Path, targets: tuple[str, ...], module: str, write: int) -> bool:
    """Run the workflow until a stage is in the middle of a write, and kill all its processes.

    Args:
        folder: a copy of the workflow.
        targets: of `dvc repro`.
        module: what the stage runs, such as `pipeline.embeddings.embed`.
        write: number of its file, counted from 1, of Parquet or safetensors.

    Returns:
        Whether it was killed; else the stage has not come to that write.
    """
    dies = {"PYTHONPATH": str(MID_WRITE), "CLIP_AUDIT_DIES": f"{module} {write}"}
    with (folder / LOG).open("ab") as log:
        done = subprocess.run(
            command(targets),
            cwd=folder,
            env=environment() | dies,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    return done.returncode == -signal.SIGKILL


def repro(
    folder: Path, targets: tuple[str, ...], kills: dict[str, list[float]]
) -> dict[str, float]:
    """Run the workflow until it ends or the first of some kills falls due.

    Args:
        folder: a copy of the workflow.
        targets: of `dvc repro`.
        kills: stage → seconds after its beginning; one that falls due is taken out.

    Returns:
        Seconds of every stage that ended.

    Raises:
        RuntimeError: it failed by itself.
    """
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            command(targets),
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    took: dict[str, float] = {}
    stage, began = "", time.monotonic()
    while True:
        due = kills.get(stage)
        wait = max(0.0, began + due[0] - time.monotonic()) if due else None
        try:
            line = lines.get(timeout=wait)
        except queue.Empty:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert due
            del due[0]
            return took
        if line is None or line.startswith(BEGINS):
            took[stage] = time.monotonic() - began
            stage = "" if line is None else line.removeprefix(BEGINS).split("'")[0]
            began = time.monotonic()
        if line is None:
            break
    if process.wait():
        raise RuntimeError(f"dvc repro failed in {folder}, see {folder / 'log.txt'}")
    del took[""]
    return took


def _read(process: subprocess.Popen[str], lines: "queue.Queue[str | None]") -> None:
    assert process.stdout
    with process.stdout as stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def planned(took: dict[str, float], kills: int, rng: np.random.Generator) -> list[Kill]:
    """Moments to kill at: as many in each stage as in any other, as far as they go round.

    None where there is no stage to be killed in.
    """
    names = list(took)
    turns = [names[n % len(names)] for n in range(kills if names else 0)]
    return [Kill(name, float(rng.uniform(0, took[name]))) for name in turns]


def outputs(folder: Path) -> dict[str, dict[str, str]]:
    """Stage → path → hash of what it wrote, as DVC has it on record."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
    return {
        stage: {out["path"]: out["md5"] for out in entry.get("outs", [])}
        for stage, entry in lock["stages"].items()
    }


def cleaned(folder: Path) -> set[str]:
    """The files that a copy of the workflow holds after `audit clean --delete`."""
    run(folder, "audits.command", "clean", "--delete")
    files = (file.relative_to(folder) for file in files_in(folder))
    return {file.as_posix() for file in files if PASSED_OVER.isdisjoint(file.parts)}


def disturb(
    undisturbed: Path, killed: Path, targets: tuple[str, ...], kills: int, seed: int
) -> tuple[pd.DataFrame, int, list[str]]:
    """Run one copy of the workflow, kill the other, and compare.

    Args:
        undisturbed: a copy of the workflow without results.
        killed: another one.
        targets: of `dvc repro`.
        kills: how many.
        seed: of their moments.

    Returns:
        Columns stage, seconds, kills, same; how often dvc.lock had to be put back; and the files
        that only one of the copies holds in the end, cleaned.
    """
    rng = np.random.default_rng(seed)
    took = repro(undisturbed, targets, {})
    due: dict[str, list[float]] = {}
    for kill in planned(took, kills, rng):
        due.setdefault(kill.stage, []).append(kill.after)
    done, ended = Counter[str](), set[str]()
    lock = killed / "dvc.lock"
    before, put_back, whole = -1, 0, b""
    while before != (left := sum(map(len, due.values()))):
        before = left
        asked = {stage: len(moments) for stage, moments in due.items()}
        ended |= repro(killed, targets, due).keys()
        done.update({stage: asked[stage] - len(due[stage]) for stage in asked})
        missed = sum(len(due.pop(stage, [])) for stage in ended)
        later = [stage for stage in took if stage not in ended]
        rng.shuffle(later)
        for kill in planned({stage: took[stage] for stage in later}, missed, rng):
            due.setdefault(kill.stage, []).append(kill.after)
        if cut_off(lock):
            lock.unlink()
            if whole:
                lock.write_bytes(whole)
            put_back += 1
        elif lock.exists():
            whole = lock.read_bytes()
    repro(killed, targets, {})
    wanted, found = outputs(undisturbed), outputs(killed)
    rows = [
        {
            "stage": stage,
            "seconds": round(seconds, 1),
            "kills": done[stage],
            "same": found.get(stage) == wanted[stage],
        }
        for stage, seconds in took.items()
    ]
    return pd.DataFrame(rows), put_back, sorted(cleaned(undisturbed) ^ cleaned(killed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of both copies")
    parser.add_argument("--kills", type=int, default=100, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of their moments (%(default)s)")
    parser.add_argument("--targets", nargs="+", default=TARGETS, help="of dvc repro (%(default)s)")
    args = parser.parse_args()
    undisturbed, killed = args.work / "undisturbed", args.work / "killed"
    for folder in (undisturbed, killed):
        if folder.exists():
            sys.exit(f"{folder} is there already: name another --work, or delete it")
        copied(folder)
    table, put_back, odd = disturb(undisturbed, killed, tuple(args.targets), args.kills, args.seed)
    print(table.to_string(index=False))
    print(
        f"{table.kills.sum()} kills, dvc.lock put back {put_back} times, "
        f"{int((~table.same).sum())} stages differ, files in one only: {odd}"
    )
    if odd or not table.same.all():
        sys.exit(1)


if __name__ == "__main__":
    main()
