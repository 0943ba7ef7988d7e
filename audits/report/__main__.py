"""Stage: `python -m audits.report --audit NAME` writes `reports/NAME/`."""

import argparse
import shutil
from pathlib import Path

from audits.history.lock import lock_hashes, read_lock
from audits.report.metrics import rounded
from audits.report.page import render
from audits.report.provenance import provenance
from audits.report.sources import Settings, input_paths, read_sources
from pipeline import layout
from pipeline.artifacts.store import atomic, write_json
from pipeline.config import Params, load_params

LOCK = Path("dvc.lock")


def main() -> None:
    """Read params.yaml and write the report of one audit."""
    parser = argparse.ArgumentParser(
        prog="python -m audits.report",
        description="Write reports/NAME: report.html, components.html, report.md, metrics.json, "
        "findings.csv and provenance.json, from what the stages of the audit left under data/.",
    )
    parser.add_argument("--audit", required=True, metavar="NAME", help="an audit of params.yaml")
    audit = parser.parse_args().audit
    params = load_params()
    write_report(audit, settings_of(params, audit), params.seed)


def settings_of(params: Params, audit: str) -> Settings:
    """What the report takes from params.yaml."""
    chosen = params.audit(audit)
    return Settings(
        dataset=chosen.dataset,
        embeddings=chosen.embeddings,
        model=params.models[chosen.model],
        root=params.dataset(chosen.dataset).root,
        gallery=chosen.report.gallery,
        thumbnail=chosen.report.thumbnail,
        components=chosen.sae.components,
        k=chosen.sae.k,
        q=chosen.failures.q,
        positive=None if chosen.shortcut is None else chosen.shortcut.positive,
        negative=None if chosen.shortcut is None else chosen.shortcut.negative,
    )


def write_report(audit: str, settings: Settings, seed: int) -> None:
    """Read an audit's results from the current directory and write `reports/<audit>/`."""
    sources = read_sources(audit, settings)
    # dvc.lock exists once a stage ran through DVC; a stage run by hand has no hashes to show.
    stages = read_lock(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    origin = provenance(
        model=sources.model,
        fingerprint=sources.dataset["fingerprint"],
        seed=seed,
        inputs=lock_hashes(stages, [path.as_posix() for path in input_paths(audit, settings)]),
    )
    pages = render(sources, settings, origin)
    folder = layout.report(audit)
    names = ("report.html", "report.md", "components.html")
    for name, text in zip(names, pages, strict=True):
        with atomic(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with atomic(folder / "findings.csv") as temporary:
        shutil.copyfile(layout.audit(audit, "review") / "findings.csv", temporary)
    write_json(folder / "metrics.json", rounded(sources.metrics))
    write_json(folder / "provenance.json", origin)


if __name__ == "__main__":
    main()
