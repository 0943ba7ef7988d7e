"""Differences of dataset, model, settings and code that could explain those of two reports."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from audits.diff.reports import Report
from audits.history import changes
from audits.history.versions import HistoryError, find, versions
from pipeline import layout

__all__ = ["Origins", "Pair", "origins"]

Pair = tuple[Any, Any]
"""What it was, and what it is; None where there is none."""


class Origins(NamedTuple):
    """What is not the same in what two reports stand on."""

    dataset: Pair | None
    """Fingerprints; None where they are the same."""
    images: dict[str, int] | None
    """Number of images added, removed, relabelled and moved; None where the dataset is the same, or
    a manifest is neither here nor in DVC's cache or remote."""
    model: dict[str, Pair]
    """Keys of provenance.json's model."""
    settings: dict[str, Pair]
    """Dotted keys."""
    code: list[str]
    """Files and packages."""
    files: list[str]
    """Words, verdicts and other inputs that no stage makes, but what dataset and model say."""
    machine: dict[str, Pair]
    """Packages, Python, processor, device."""
    dictionary: bool
    """Whether the SAE is another one, which is a consequence and no cause."""
    unknown: list[str]
    """What could not be compared, in words."""

    @property
    def nothing(self) -> bool:
        """Whether all that could be compared is the same."""
        return not (
            self.dataset or self.model or self.settings or self.code or self.files or self.machine
        )


def origins(before: Report, now: Report) -> Origins:
    """What two reports stand on that differs."""
    a, b = before.provenance, now.provenance
    prints = (a["dataset"]["fingerprint"], b["dataset"]["fingerprint"])
    unknown = []
    images = None
    if prints[0] != prints[1]:
        images = _images(*prints, _dataset_of(now))
        if images is None:
            unknown.append(
                "images: a manifest is neither in DVC's cache nor in a remote (dvc fetch)"
            )
    settings, code, files = _grounds(before, now, unknown)
    told = _told(before, now)
    machine = _differing(_machine(a), _machine(b))
    dictionaries = [one.digest(layout.sae(one.audit)) for one in (before, now)]
    if None in dictionaries:
        unknown.append("dictionary: nothing says which one a report is of")
    return Origins(
        dataset=prints if prints[0] != prints[1] else None,
        images=images,
        model=_differing(a["model"], b["model"]),
        settings=settings,
        code=code,
        files=[path for path in files if path not in told],
        machine=machine,
        dictionary=dictionaries[0] != dictionaries[1],
        unknown=unknown,
    )


def _grounds(
    before: Report, now: Report, unknown: list[str]
) -> tuple[dict[str, Pair], list[str], list[str]]:
    """Settings, code and files that differ; what cannot be compared is added to `unknown`."""
    a, b = before.grounds, now.grounds
    if a is None or b is None:
        places = [one.place for one in (before, now) if one.grounds is None]
        unknown.append(f"settings and code: {' and '.join(places)} has no dvc.lock beside it")
        return {}, [], []
    old, new = _renamed(a.settings, before.audit), _renamed(b.settings, now.audit)
    if not (a.whole and b.whole):
        unknown.append("code and words: MLflow has an audit's own settings only")
        old, new = ({key: one[key] for key in old.keys() & new.keys()} for one in (old, new))
    settings = _differing(old, new)
    if not (a.whole and b.whole):
        return settings, [], []
    return settings, sorted(_differing(a.code, b.code)), sorted(_differing(a.files, b.files))


def _told(before: Report, now: Report) -> set[str]:
    """Files that are told of already: those of a dataset or a model that is another one."""
    a, b = before.provenance, now.provenance
    told = set()
    if now.grounds is not None and a["dataset"]["fingerprint"] != b["dataset"]["fingerprint"]:
        told.add(str(now.grounds.settings.get(f"datasets.{_dataset_of(now)}.root")))
    if a["model"]["weights_sha256"] != b["model"]["weights_sha256"]:
        told.add(layout.model(b["model"]["model"]).as_posix())
    return told


def _machine(provenance: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("python", "processor", "device")
    return {**provenance["packages"], **{key: provenance.get(key) for key in keys}}


def _renamed(settings: Mapping[str, Any], audit: str) -> dict[str, Any]:
    """Settings by keys that are the same whatever the audit is called."""
    own = f"audits.{audit}."
    return {
        f"audits.*.{key.removeprefix(own)}" if key.startswith(own) else key: value
        for key, value in settings.items()
    }


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Pair]:
    keys = sorted(a.keys() | b.keys())
    return {key: (a.get(key), b.get(key)) for key in keys if a.get(key) != b.get(key)}


def _dataset_of(report: Report) -> str | None:
    """Name of a report's dataset, by the manifest that it was made from."""
    folder = layout.manifest("*").parent.as_posix()
    for path in report.provenance["dvc_lock"]:
        if path.startswith(f"{folder}/"):
            return path.removeprefix(f"{folder}/").partition("/")[0]
    return None


def _images(before: str, now: str, dataset: str | None) -> dict[str, int] | None:
    """How many images changed from one fingerprint to another."""
    if dataset is None:
        return None
    try:
        known = versions(dataset)
        tables = [find(asked, known, dataset).table for asked in (before, now)]
    except HistoryError:
        return None
    old, new = tables
    assert old is not None
    assert new is not None
    change = changes.compare(old, new)
    return {kind: len(rows) for kind, rows in zip(change._fields, change, strict=True)}
