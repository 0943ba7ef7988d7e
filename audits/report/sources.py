"""What the stages of an audit left, read and checked before anything is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from audits.report.metrics import merge
from audits.report.tables import read_columns
from pipeline import layout
from pipeline.artifacts import gaps
from pipeline.artifacts.store import read_json
from pipeline.config import ModelConfig
from pipeline.places import Place

CURVES = (
    "epoch",
    "loss",
    "explained_variance",
    "cosine",
    "l0",
    "alive_fraction",
    "dead_fraction",
)
DENSITY = ("epoch", "low", "high", "count")
STABILITY = ("component", "stability")
LABELS = (
    *("component", "label", "kind", "alignment", "clarity", "polysemanticity", "activations"),
    *("mean_top20", "runners_up", "margins", "name_auroc", "name_fits"),
)
ABOUT = (
    *("component", "largest", "activations", "neighbours", "cosines"),
    *("class", "class_auroc", "mean_top5", "mean_activation", "firing_rate"),
    *("redundancy", "monosemanticity", "written"),
)
WRITING = ("component", "writing")
RELEVANCE = ("class", "component", "mean")
PICTURES = ("component", "sheet", "image_ids", "places")
FINDINGS = (
    "finding_id",
    "class",
    "component",
    "component_id",
    "component_label",
    "mode",
    "mode_source",
    "confidence",
    "score",
    "images",
    "max_z",
    "q_value",
    "confirmed",
    "held",
    "stability",
    "recurrence",
    "recurrence_low",
    "recurrence_high",
    "recurrence_random",
    "status",
    "review_again",
    "verdict",
    "example_ids",
)
GONE = ("finding_id", "class", "verdict", "mode", "note")
LEFT_OUT = ("finding_id", "reason")
FORMS = ("finding_id", "mode", "form", "distractors", "spurious_auc", "valid_auc")
STEPS = ("protocol", "method", "step", "y", "sem")
HIDDEN = (
    *("component", "label", "alignment", "clarity", "group", "mean_top20", "relevance", "class"),
    "top_images",
)
BASES = ("basis", "label", "clarity")
COMPONENTS = (
    *("component", "label", "kind", "rank", "suspect", "called", "share", "top_images"),
    *("mean_relevance", "imbalance", "colour", "colour_statistic", "answer", "answer_shift"),
    *("acquisition", "acquisition_column", "verdict", "object_covered", "surroundings_covered"),
)
PLAIN = ("component", "picture", "answer")
SHIFTS = (
    *("remedy", "shift", "kind", "strength", "in_range", "side", "accuracy", "drop"),
    *("alone", "alone_low", "alone_high"),
    *("proven", "fragile"),
)
REMEDIES = (
    *("remedy", "setting", "drop", "relief", "price", "price_matched", "auroc", "share"),
    *("recommended", "recommended_matched"),
)
SWEEP = ("remedy", "setting", "drop", "price")
SUBGROUPS = ("column", "group", "side", "images", "accuracy", "accuracy_low", "accuracy_high")
CALIBRATION = ("predicted", "observed")
MAPS = ("image_id", "component", "rows", "columns", "parts")
PLANTS = (
    "plant",
    "class",
    "mode",
    "images",
    "spurious_auc",
    "fallen",
    "found",
    "finding_ids",
    "component",
    "encoding_auc",
    "rank",
    *("called_component", "called_encoding_auc", "called_rank"),
)
SHEETS_BYTES = 4_000_000
"""Of pictures and veils within the page of components, which stays below 30 MB so for 30,000 of
them; the other sheets it loads from where they lie."""
STAGES = (
    "concepts",
    "failures",
    "faithfulness",
    "maps",
    "probe",
    "recurrence",
    "review",
    "robustness",
    "sae",
    "shortcut",
    "stability",
    "validate",
)
"""Those whose metrics are shown."""


class PicturesOfSheet(NamedTuple):
    """The two files of a sheet."""

    pictures: bytes
    """A JPEG."""
    veils: bytes | None
    """A PNG of the veils over them; None where none is mapped."""


@dataclass(frozen=True)
class Settings:
    """What a report takes from params.yaml."""

    dataset: str
    embeddings: str
    """Its embeddings by the audited model."""
    model: ModelConfig
    root: Place
    """Folder of the raw dataset."""
    gallery: int
    """Images in a row of a gallery."""
    thumbnail: int
    """Edge of a thumbnail, pixels."""
    components: int
    k: int
    q: float
    """False discovery rate over (class, component) pairs."""
    positive: list[str] | None
    """Labels of the shortcut audit's classes, None where the audit has none."""
    negative: list[str] | None
    """Labels of its other side, None for all the rest."""


@dataclass(frozen=True)
class Sources:
    """Tables and metrics of one audit; a table of an audit that does not apply has no rows."""

    audit: str
    dataset: dict[str, Any]
    """`dataset.json`: name, fingerprint, counts, classes, licence, pixels, excluded."""
    manifest: pd.DataFrame
    model: dict[str, Any]
    """`model.json` (model, parameters, weights_sha256, preprocessing, device, dtype), and what
    params.yaml says of it (name, pretrained, note)."""
    curves: pd.DataFrame
    """SAE training, one row an epoch."""
    density: pd.DataFrame
    """Components by firing rate after each epoch: count between low and high, log10 of a fraction
    of validation images."""
    stability: pd.DataFrame
    """One row a component: how well it is found again from other seeds."""
    labels: pd.DataFrame
    """One row a component: its label and the next best, how well it fits, how clear the component
    is, and what its label is worth on images that had no say in it."""
    about: pd.DataFrame
    """One row a component: how many images fire it how strongly, and its nearest neighbours."""
    writing: pd.DataFrame
    """One row a component: how it answers to writing."""
    relevance: pd.DataFrame
    """One row a (class, component): mean relevance on the class's own train images."""
    findings: pd.DataFrame
    """With the modes and verdicts of persons where there are any."""
    evidence: dict[str, Any]
    """Finding → why it is one (`test`, `reason`, `p_value`, `tail`, `confirmation_p`,
    `as_high`, `repeats`), what speaks
    for its mode (`suggested_mode`, `mode_reason`, `mode_alternatives`), what a person said
    (`review`) and why that is to be said again (`review_again`)."""
    gone: pd.DataFrame
    """Findings of the last review that are not found any more."""
    forms: pd.DataFrame
    """One row a (finding, prompt form), those of the dataset's own distractor sets included."""
    left_out: pd.DataFrame
    """Findings and sets of which robustness could not be measured, with the reason."""
    faithfulness: pd.DataFrame
    """One row a (protocol, method, step)."""
    hidden: pd.DataFrame
    """The strongest first."""
    bases: pd.DataFrame
    """One row a principal axis or neuron: its label and how clear it is."""
    components: pd.DataFrame
    """Candidates for a shortcut of the linear classifier, by rank."""
    shifts: pd.DataFrame
    """One row a (classifier, shift, side): accuracy and drop."""
    remedies: pd.DataFrame
    """One row a remedy, the standard classifier first; none where nothing is to be cured."""
    sweep: pd.DataFrame
    """One row a (remedy, setting)."""
    subgroups: pd.DataFrame
    """One row a (group, side), the worst first."""
    calibration: pd.DataFrame
    """One row a bin of predicted probabilities."""
    plain: pd.DataFrame
    """One row a component that answers to a plain picture."""
    maps: pd.DataFrame
    """One row a (image, component): what each patch adds to its activation."""
    pictures: pd.DataFrame
    """One row a component with pictures: the sheet that they are on, their images, and where in
    them it fires."""
    sheets: list[PicturesOfSheet]
    """The first sheets, as many as the page of components has room for."""
    plants: pd.DataFrame
    metrics: dict[str, Any]
    """All stages' metrics, merged."""

    @property
    def gaps(self) -> dict[str, str]:
        """Figure that the data do not give → why."""
        return dict(self.metrics.get(gaps.KEY, {}))

    def short(self, label: str) -> str:
        """The short name of a class.

        Raises:
            ValueError: dataset.json has no such class.
        """
        for entry in self.dataset["classes"]:
            if entry["label"] == label:
                return str(entry["short"])
        raise ValueError(
            f"class {label!r} of audit {self.audit} is not among the classes of dataset "
            f"{self.dataset['name']}: its findings are older than its manifest, run `dvc repro`"
        )


def input_paths(audit: str, settings: Settings) -> dict[Path, str]:
    """Every file the report reads, apart from images, and the stage that makes it."""
    dataset, embeddings = settings.dataset, settings.embeddings
    manifest = layout.manifest(dataset)
    paths = {
        manifest / "manifest.parquet": f"prepare@{dataset}",
        manifest / "dataset.json": f"prepare@{dataset}",
        layout.head(embeddings) / "model.json": f"embed@{embeddings}",
        layout.sae(audit) / "curves.csv": f"train_sae@{audit}",
        layout.sae(audit) / "density.csv": f"train_sae@{audit}",
        layout.labels(audit): f"label@{audit}",
        layout.reference(audit) / "reference.parquet": f"reference@{audit}",
    }
    results = {
        "stability": ["components.parquet"],
        "review": ["findings.csv", "evidence.json", "gone.csv"],
        "robustness": ["findings.csv", "left_out.csv"],
        "faithfulness": ["curves.csv"],
        "concepts": ["hidden.csv", "components.parquet", "bases.parquet"],
        "shortcut": [
            *("components.csv", "shifts.csv", "remedies.csv", "sweep.csv"),
            *("subgroups.csv", "calibration.csv"),
        ],
        "probe": ["plain.parquet", "components.parquet"],
        "maps": ["maps.parquet", "pictures.parquet"],
        "validate": ["plants.csv"],
    }
    for stage in STAGES:
        maker = "encode" if stage == "sae" else stage
        for name in [*results.get(stage, []), "metrics.json"]:
            paths[layout.audit(audit, stage) / name] = f"{maker}@{audit}"
    return paths


def read_sources(audit: str, settings: Settings) -> Sources:
    """Read all inputs of a report, relative to the current directory.

    Raises:
        FileNotFoundError: a file is missing; the message names it and the stage that makes it.
        ValueError: a table lacks a column, or two stages claim one metric.
    """
    for path, stage in input_paths(audit, settings).items():
        _existing(path, stage)
    dataset = settings.dataset
    about = read_json(layout.manifest(dataset) / "dataset.json")
    images = {"dataset": {"images": about["counts"]["images"]}}
    metrics = [read_json(layout.audit(audit, stage) / "metrics.json") for stage in STAGES]
    review = layout.audit(audit, "review")

    def table(stage: str, name: str, columns: Sequence[str]) -> pd.DataFrame:
        return read_columns(layout.audit(audit, stage) / name, columns)

    return Sources(
        audit=audit,
        dataset=about,
        manifest=read_columns(
            layout.manifest(dataset) / "manifest.parquet", ("image_id", "path", "split", "label")
        ),
        model=read_json(layout.head(settings.embeddings) / "model.json") | settings.model.said(),
        curves=read_columns(layout.sae(audit) / "curves.csv", CURVES),
        density=read_columns(layout.sae(audit) / "density.csv", DENSITY),
        stability=table("stability", "components.parquet", STABILITY),
        labels=read_columns(layout.labels(audit), LABELS),
        findings=table("review", "findings.csv", FINDINGS),
        evidence=read_json(review / "evidence.json"),
        gone=table("review", "gone.csv", GONE),
        forms=table("robustness", "findings.csv", FORMS),
        left_out=table("robustness", "left_out.csv", LEFT_OUT),
        faithfulness=table("faithfulness", "curves.csv", STEPS),
        about=table("concepts", "components.parquet", ABOUT),
        writing=table("probe", "components.parquet", WRITING),
        relevance=read_columns(layout.reference(audit) / "reference.parquet", RELEVANCE),
        hidden=table("concepts", "hidden.csv", HIDDEN),
        bases=table("concepts", "bases.parquet", BASES),
        components=table("shortcut", "components.csv", COMPONENTS),
        shifts=table("shortcut", "shifts.csv", SHIFTS),
        remedies=table("shortcut", "remedies.csv", REMEDIES),
        sweep=table("shortcut", "sweep.csv", SWEEP),
        subgroups=table("shortcut", "subgroups.csv", SUBGROUPS),
        calibration=table("shortcut", "calibration.csv", CALIBRATION),
        plain=table("probe", "plain.parquet", PLAIN),
        maps=table("maps", "maps.parquet", MAPS),
        pictures=table("maps", "pictures.parquet", PICTURES),
        sheets=first_sheets(layout.audit(audit, "maps") / "pictures"),
        plants=table("validate", "plants.csv", PLANTS),
        metrics=merge([images, *metrics]),
    )


def first_sheets(folder: Path) -> list[PicturesOfSheet]:
    """The sheets of a folder in order, up to SHEETS_BYTES."""
    sheets, spent = [], 0
    for path in sorted(folder.glob("*.jpg")):
        over = path.with_suffix(".png")
        sheet = PicturesOfSheet(path.read_bytes(), over.read_bytes() if over.exists() else None)
        spent += len(sheet.pictures) + len(sheet.veils or b"")
        if spent > SHEETS_BYTES:
            break
        sheets.append(sheet)
    return sheets


def _existing(path: Path, stage: str) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `dvc repro {stage}` to make it")
