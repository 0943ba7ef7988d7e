"""Copies of the repository's own reports, changed in one thing each."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from audits.diff.places import find_reports
from audits.diff.reports import Report
from pipeline.config import Params

ROOT = Path(__file__).parents[3]
AUDIT = "scenes-tiny"


class Copy:
    """A report and the `dvc.lock` that it was made by, in a folder of its own."""

    def __init__(self, root: Path):
        self.root = root
        self.folder = root / "reports" / AUDIT
        self.folder.mkdir(parents=True)
        for name in ("findings.csv", "metrics.json", "provenance.json"):
            shutil.copy(ROOT / "reports" / AUDIT / name, self.folder)
        shutil.copy(ROOT / "dvc.lock", root)

    def findings(self, change: Any) -> None:
        """Put another table in the place of the findings: change takes and returns it."""
        path = self.folder / "findings.csv"
        change(pd.read_csv(path)).to_csv(path, index=False)

    def set(self, file: str, key: str, value: Any) -> None:
        """Set a dotted key of metrics.json or provenance.json; None deletes it."""
        tree = json.loads((self.folder / file).read_text())
        *above, last = key.split(".")
        entry = tree
        for name in above:
            entry = entry[name]
        if value is None:
            del entry[last]
        else:
            entry[last] = value
        (self.folder / file).write_text(json.dumps(tree))

    def metric(self, key: str) -> float:
        tree = json.loads((self.folder / "metrics.json").read_text())
        for name in key.split("."):
            tree = tree[name]
        return tree

    def lock(self, change: Any) -> None:
        """Change the stages of dvc.lock in place."""
        path = self.root / "dvc.lock"
        content = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        change(content["stages"])
        path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper))

    def report(self) -> Report:
        return find_reports(str(self.folder), Params.model_construct())[AUDIT]
