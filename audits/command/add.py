"""`audit add`: switch on an audit by writing its entries into params.yaml."""

import argparse
import difflib
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from audits.command.check import start_tables, tables
from audits.command.embeddings import shared_or_new
from audits.command.params_text import Addition, edited, without
from audits.command.replaced import replaced
from audits.command.sizes import Sizes, images_of, sizes, width_of
from audits.command.summary import MISSING, lacks, summary
from pipeline import layout
from pipeline.artifacts.store import atomic
from pipeline.config import (
    HERE,
    AuditConfig,
    ConfigError,
    DatasetConfig,
    ModelConfig,
    Params,
    Section,
    default_audit,
    default_dataset,
    default_embeddings,
    load_params,
    merged,
    read_catalog,
)
from pipeline.datasets.adapters import layout as layout_of
from pipeline.faults import faults
from pipeline.places import place

__all__ = ["Request", "add", "plan", "register"]

PARAMS = Path("params.yaml")
MODELS = layout.DATA / "models"
NEEDED = ("kind", "root", "vocabulary", "labeler")
"""What a dataset of one's own has to say."""
SPLITS = {"train": 0.8, "val": 0.2}


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    name: str
    dataset: str
    model: str
    described: dict[str, Any] = field(default_factory=dict)
    """What it says of the dataset: keys of DatasetConfig."""
    weights: dict[str, str] = field(default_factory=dict)
    """What it says of the audited model: keys of ModelConfig."""

    @property
    def kept(self) -> set[str]:
        """Datasets and models, as section.key, that it names and does not describe."""
        models = {self.model, self.described.get("labeler", self.model)}
        models -= {self.model} if self.weights else set()
        data = set() if self.described else {f"datasets.{self.dataset}"}
        return data | {f"models.{key}" for key in models}


def plan(request: Request, params: Params, catalog: dict[str, Any], models: Path) -> Addition:
    """What a request adds to params.yaml.

    Args:
        request: the command line.
        params: params.yaml as it is.
        catalog: catalog.yaml.
        models: folder in which open_clip folders are looked for.

    Raises:
        ConfigError: the name is taken, or a dataset or model is unknown or described twice.
    """
    if request.name in params.audits:
        raise ConfigError(
            f"params.yaml has audits.{request.name} already: give --replace to write it anew, "
            f"change its entries there, or choose another name than {sorted(params.audits)}"
        )
    datasets, added = {}, {}
    dataset = _dataset(request, params, catalog)
    model = _model(request.model, request.weights, params, catalog, models)
    if model is not None:
        added[request.model] = model
    if dataset is not None and dataset["labeler"] != request.model:
        labeler = _model(dataset["labeler"], {}, params, catalog, models)
        if labeler is not None:
            added[dataset["labeler"]] = labeler
    named: dict[str, str] = {}
    embeddings: dict[str, dict[str, Any]] = {}
    for key in (request.model, dataset["labeler"] if dataset is not None else request.model):
        named[key], new = shared_or_new(params, default_embeddings(catalog), request.dataset, key)
        embeddings |= {} if new is None else {named[key]: new}
    if dataset is not None:
        own = dataset | {"embeddings": named[dataset["labeler"]]}
        datasets[request.dataset] = _ordered(own, DatasetConfig)
        _check_splits(request.dataset, datasets[request.dataset])
    asked = {"dataset": request.dataset, "model": request.model}
    asked["embeddings"] = named[request.model]
    audit = _ordered(merged(default_audit(catalog, request.dataset), asked), AuditConfig)
    entry = datasets.get(request.dataset)
    sized = _sized(request, entry, added.get(request.model), params, catalog, models)
    audit["sae"] |= sized.sae
    about = [f"sae: {sized.said}"] if sized.said else []
    fetched = [key for key, entry in added.items() if entry["name"] != f"{HERE}/{key}"]
    return Addition(
        {
            "datasets": datasets,
            "models": added,
            "embeddings": embeddings,
            "audits": {request.name: audit},
        },
        {"datasets": list(datasets), "models": fetched},
        about,
    )


def _dataset(request: Request, params: Params, catalog: dict[str, Any]) -> dict[str, Any] | None:
    """Entry of the dataset; None where params.yaml has it."""
    name, given = request.dataset, request.described
    if name in params.datasets:
        there = params.datasets[name].model_dump(mode="json")
        for key, value in given.items():
            if there[key] != value:
                raise ConfigError(
                    f"params.yaml has datasets.{name} already, with {key} {there[key]!r} and not "
                    f"{value!r}: change it there, or give this dataset another name"
                )
        return None
    entry = default_dataset(catalog, name) | given
    if missing := [f"--{key}" for key in NEEDED if key not in entry]:
        raise ConfigError(
            f"unknown dataset {name!r}: params.yaml has {sorted(params.datasets)}, catalog.yaml "
            f"{sorted(catalog['datasets'])}; for one of your own also give {', '.join(missing)}"
        )
    if entry["kind"] == "isic" and entry["splits"] is None:
        raise ConfigError(f"dataset {name!r} of kind isic has no splits: give --val-share 0.2, say")
    return entry


def _check_splits(name: str, entry: dict[str, Any]) -> None:
    """Refuse a dataset that is there, of which the share for validation alone is wrong.

    The dictionary's sizes would be those of no images, and stay so once it was put right.

    Raises:
        ConfigError: its layout says no splits and it has no share, or the other way round.
    """
    drawn = entry["splits"] is not None
    # What else is wrong with an entry or with its images is said elsewhere.
    with suppress(ValidationError):
        config = DatasetConfig.model_validate(entry)
        other = DatasetConfig.model_validate(entry | {"splits": None if drawn else SPLITS})
        if faults(lambda: layout_of(config)) and not faults(lambda: layout_of(other)):
            raise ConfigError(
                f"dataset {name!r}: {config.root} says which images are for validation: leave out "
                "--val-share"
                if drawn
                else f"dataset {name!r}: {config.root} does not say which images are for "
                "validation: give --val-share 0.2, say"
            )


def _sized(
    request: Request,
    dataset: dict[str, Any] | None,
    model: dict[str, Any] | None,
    params: Params,
    catalog: dict[str, Any],
    models: Path,
) -> Sizes:
    """Sizes of the dictionary by rule; nothing where the catalog gives those of this dataset."""
    own = catalog["audits"].get(request.dataset, {}).get("sae", {})
    if {"components", "k"} & own.keys():
        return Sizes({}, "")
    images = None
    # What is wrong with an entry is said where all of params.yaml is checked.
    with suppress(ValidationError):
        config = params.datasets.get(request.dataset) or DatasetConfig.model_validate(dataset or {})
        images = images_of(request.dataset, config, params.seed)
    name = model["name"] if model else params.models[request.model].name
    width = width_of(request.model, name, models)
    return sizes(width, images, default_audit(catalog, request.dataset)["sae"])


def _ordered(entry: dict[str, Any], section: type[Section]) -> dict[str, Any]:
    """An entry with its keys in the order in which they are documented, others last."""
    known = [key for key in section.model_fields if key in entry]
    return {key: entry[key] for key in (*known, *sorted(entry.keys() - set(known)))}


def _model(
    key: str, given: dict[str, str], params: Params, catalog: dict[str, Any], models: Path
) -> dict[str, Any] | None:
    """Entry of a model; None where params.yaml has it."""
    for file, known in (("params.yaml", params.models), ("catalog.yaml", catalog["models"])):
        if given and key in known:
            raise ConfigError(
                f"{file} has a model {key} already: choose another key, or leave out --model-name "
                "and --pretrained"
            )
    if key in params.models:
        return None
    if key in catalog["models"]:
        return dict(catalog["models"][key])
    if "name" in given:
        if ":" not in given["name"] and "pretrained" not in given:
            raise ConfigError(
                f"--model-name {given['name']} does not say where its weights are: give "
                "--pretrained with a tag of open_clip's or the file of a checkpoint"
            )
        _check_tag(key, given)
        return dict(given)
    if "pretrained" in given:
        raise ConfigError(
            f"--pretrained {given['pretrained']} is of which model? give --model-name"
        )
    if (models / key / layout.MODEL_CONFIG).exists():
        return {"name": f"{HERE}/{key}"}
    raise ConfigError(
        f"unknown model {key!r}: params.yaml has {sorted(params.models)}, catalog.yaml "
        f"{sorted(catalog['models'])}; for one of your own put {layout.MODEL_CONFIG} and "
        f"{layout.MODEL_WEIGHTS} into {models / key}/ first, or give --model-name (for the "
        "audited model)"
    )


def _check_tag(key: str, given: dict[str, str]) -> None:
    """Refuse a name and a tag of which open_clip knows that they cannot be had, or not together.

    Raises:
        ConfigError: it does; a hub repository, a folder or a checkpoint may yet come.
    """
    if ":" in given["name"]:
        return
    # Imported late: open_clip takes seconds.
    from pipeline.models.hub import architecture, check

    if Path(given["pretrained"]).suffix:
        architecture(f"models.{key}.name", given["name"])
        return
    check(key, ModelConfig.model_validate(given), ask_hub=False)


def checked(text: str) -> Params:
    """What a text says as params.yaml.

    Raises:
        ConfigError: it cannot be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARAMS
        path.write_text(text, encoding="utf-8")
        try:
            return load_params(path)
        except ConfigError as error:
            said = str(error).replace(f"{folder}/", "")
            raise ConfigError(f"nothing was written, for then\n{said}") from error


def add(request: Request, dry_run: bool, replace: bool = False) -> str:
    """Edit params.yaml in the current directory and start the review; what to say about it.

    Args:
        request: the command line.
        dry_run: leave the file alone and return the difference, and what would be missing.
        replace: write the audit anew where params.yaml has it.

    Raises:
        ConfigError: see `read_catalog`, `plan`, `without`, `edited` and `checked`.
    """
    params = load_params(PARAMS)
    with PARAMS.open(encoding="utf-8", newline="") as file:
        text = file.read()
    crlf = "\r\n" in text
    old = rest = text.replace("\r\n", "\n")
    gone = None
    if replace and request.name in params.audits:
        gone = replaced(params, request.name, request.kept)
        rest, params = without(old, gone.entries, gone.outside), gone.left
    addition = plan(request, params, read_catalog(), MODELS)
    new = edited(rest, addition)
    after = checked(new)
    if dry_run:
        lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
        change = difflib.unified_diff(*lines, "params.yaml", "params.yaml, with the audit")
        written = tuple(f"{path} is missing" for path in tables(after, request.name))
        lacking = [line for line in lacks(request.name, after) if not line.startswith(written)]
        return "".join([*change, *(f"{MISSING}{line}\n" for line in lacking)])
    with atomic(PARAMS) as temporary:
        temporary.write_text(new, encoding="utf-8", newline="\r\n" if crlf else "\n")
    start_tables(after, request.name)
    said = summary(request.name, addition, after)
    return said if gone is None else f"replaced     {gone.said()}\n{said}"


EXAMPLES = """\
examples:
  audit add imagenet-b32 --dataset imagenet --model vit-b-32-laion400m
  audit add birds-mine --dataset birds --kind image_folder --root /data/birds \\
      --vocabulary vocabularies/birds.csv --labeler mine --model mine
  audit add birds-b16 --dataset birds --model b16 --model-name ViT-B-16-quickgelu \\
      --pretrained openai

A dataset or a model is one that params.yaml or catalog.yaml has, or one of your own: a dataset with
the options of a dataset, a model as an open_clip folder data/models/KEY or with --model-name.
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "add",
        description="Switch on an audit in params.yaml. Nothing of the other audits is run again,\n"
        "and where params.yaml has embeddings of this model on this dataset, they are shared.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name: a letter, then a-z 0-9 - _")
    parser.add_argument("--dataset", required=True, metavar="KEY", help="what it is audited on")
    parser.add_argument("--model", required=True, metavar="KEY", help="what is audited")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the difference and what would be missing, and write nothing",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="write an audit anew that params.yaml has: its entry, and those of its dataset, "
        "models and embeddings that no other audit uses",
    )
    own = parser.add_argument_group("of a dataset that params.yaml does not have")
    own.add_argument("--root", metavar="PATH", help="its folder, or its URL in a store: s3://…")
    own.add_argument("--kind", help="its layout: image_folder, csv, imagenet or isic")
    own.add_argument("--vocabulary", metavar="FILE", help="terms that components are named by")
    own.add_argument("--labeler", metavar="KEY", help="model that names components")
    own.add_argument(
        "--val-share",
        type=float,
        metavar="SHARE",
        help="share of the groups for validation, where the layout says no splits (isic, csv, and "
        "image_folder without val/)",
    )
    model = parser.add_argument_group("of a model that neither file has")
    model.add_argument("--model-name", metavar="NAME", help="ViT-B-32, hf-hub:…, local-dir:…")
    model.add_argument(
        "--pretrained", metavar="TAG", help="open_clip's tag, or a checkpoint's file"
    )
    parser.set_defaults(run=_run, command="add")


def _run(arguments: argparse.Namespace) -> str:
    given = {key: getattr(arguments, key) for key in NEEDED}
    given["vocabulary"] = given["vocabulary"] and str(Path(given["vocabulary"]))
    given["root"] = given["root"] and str(place(given["root"]))
    if arguments.val_share is not None:
        share = arguments.val_share
        given["splits"] = {"train": round(1 - share, 9), "val": share}
    weights = {"name": arguments.model_name, "pretrained": arguments.pretrained}
    request = Request(
        arguments.name,
        arguments.dataset,
        arguments.model,
        {key: value for key, value in given.items() if value is not None},
        {key: value for key, value in weights.items() if value is not None},
    )
    return add(request, arguments.dry_run, arguments.replace)
