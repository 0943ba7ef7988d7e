"""All of params.yaml, read and checked."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, PlainSerializer, PlainValidator, ValidationError, model_validator
from upath import UPath

from pipeline import layout
from pipeline.config.audits import AuditConfig
from pipeline.config.base import ConfigError, Count, Name, Section
from pipeline.config.catalog import (
    CATALOG,
    default_audit,
    default_dataset,
    default_embeddings,
    read_catalog,
)
from pipeline.config.data import (
    HERE,
    DatasetConfig,
    EmbeddingsConfig,
    ModelConfig,
    OutsideConfig,
)
from pipeline.config.gate import GateConfig
from pipeline.config.samples import PretrainConfig, SamplesConfig
from pipeline.config.verify import VerifyConfig
from pipeline.config.yaml_faults import not_yaml
from pipeline.places import place

PASSWORD = re.compile(r"(?<=://)[^/@:\s]*:[^/@\s]*(?=@)")
"""And the name before it, of a URL."""
SECTIONS = {
    "engine": "engine: local",
    "gate": "gate: {against: null, not_measured: pass, unreviewed: null, metrics: []}",
    "verify": "verify: {relative: 0.00001, metrics: []}",
}
"""Of sections that an older params.yaml lacks the line to add, with which nothing changes."""
OF_A_DATASET = ("positive", "negative", "shifts", "mask")
"""Keys of `shortcut` whose values are about the images of one dataset."""


def _store(given: object) -> UPath | None:
    if given is None:
        return None
    found = place(given) if isinstance(given, str) else None
    if not isinstance(found, UPath):
        raise ValueError(
            f"{given!r} is no folder of a store, such as s3://bucket/shards: name one, or set it "
            "to null, and shards lie in data/"
        )
    return found


def _url(found: UPath | None) -> str | None:
    return None if found is None else str(found)


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0)]
    """Seed of everything that draws at random."""
    threads: Count
    """Threads of tensor operations; part of what makes a run repeatable."""
    engine: Literal["local", "ray"]
    """Where `prepare` decodes and `embed`, `embed_concepts`, `perturb` and `encode` work: `local`
    on this machine; `ray` on the Ray cluster that RAY_ADDRESS names, or of which this machine is a
    node (docs/clusters.md). It decides no byte."""
    shards: Annotated[UPath | None, PlainValidator(_store), PlainSerializer(_url)] = None
    """Folder of a store, s3://bucket/folder, where the shards that `embed`, `embed_concepts`,
    `perturb` and `encode` write from now on are to lie; null for `data/` (docs/clusters.md)."""
    samples: SamplesConfig
    pretrain: PretrainConfig
    outside: OutsideConfig
    datasets: dict[Name, DatasetConfig]
    models: dict[Name, ModelConfig]
    embeddings: dict[Name, EmbeddingsConfig]
    audits: dict[Name, AuditConfig]
    gate: GateConfig
    verify: VerifyConfig

    @model_validator(mode="after")
    def _check(self) -> "Params":
        for name, dataset in self.datasets.items():
            self._known(f"datasets.{name}.labeler", dataset.labeler, "models")
        for section, entries in (("embeddings", self.embeddings), ("audits", self.audits)):
            for name, entry in entries.items():
                self._known(f"{section}.{name}.dataset", entry.dataset, "datasets")
                self._known(f"{section}.{name}.model", entry.model, "models")
                if name.startswith("concepts-") or name.endswith("-perturbed"):
                    raise ValueError(
                        f"{section}.{name}: a name that starts with concepts- or ends with "
                        "-perturbed is taken by a folder of data/embeddings; choose another"
                    )
        for name, dataset in self.datasets.items():
            of = {"labeler": dataset.labeler}
            self._check_entry(f"datasets.{name}", dataset.embeddings, name, of)
        for name, audit in self.audits.items():
            of = {"model": audit.model}
            self._check_entry(f"audits.{name}", audit.embeddings, audit.dataset, of)
        rendered = set(SamplesConfig.model_fields) - {"workers"}
        _same("outside.datasets", self.outside.datasets, set(self.datasets) - rendered)
        for name in rendered & set(self.datasets):
            root = self.datasets[name].root
            if root != layout.rendered(name):
                raise ValueError(
                    f"datasets.{name}.root is {str(root)!r}: it must be {layout.rendered(name)}, "
                    "where the workflow renders this sample and deletes what it rendered before; "
                    "give a dataset of your own another name"
                )
        fetched = {name for name, model in self.models.items() if model.name != f"{HERE}/{name}"}
        _same("outside.models", self.outside.models, fetched)
        for name in fetched:
            _check_apart(name, self.models[name])
        for name in set(self.models) - fetched:
            model = self.models[name]
            if model.preprocess is not None or model.tokenizer is not None:
                raise ValueError(
                    f"models.{name} has preprocess or tokenizer: the folder {model.name} says both"
                )
        return self

    def _known(
        self, key: str, value: str, section: Literal["datasets", "models", "embeddings"]
    ) -> None:
        known = getattr(self, section)
        if value not in known:
            raise ValueError(
                f"{key} is {value!r}, which {section} does not hold; it holds {sorted(known)}"
            )

    def _check_entry(self, user: str, name: str, dataset: str, model: dict[str, str]) -> None:
        """Make sure that embeddings are of the dataset and the model of who names them."""
        self._known(f"{user}.embeddings", name, "embeddings")
        entry = self.embeddings[name]
        ((role, wanted),) = model.items()
        if (entry.dataset, entry.model) == (dataset, wanted):
            return
        fitting = [
            other
            for other, found in self.embeddings.items()
            if (found.dataset, found.model) == (dataset, wanted)
        ]
        raise ValueError(
            f"{user}.embeddings is {name!r}: embeddings.{name} has dataset {entry.dataset!r} and "
            f"model {entry.model!r}, but {user} is of dataset {dataset!r} and {role} {wanted!r}: "
            + (
                f"name {' or '.join(map(repr, fitting))} there"
                if fitting
                else "add an entry of these two to embeddings, and name it there"
            )
        )

    def audit(self, name: str) -> AuditConfig:
        """The audit of that name.

        Raises:
            ConfigError: params.yaml has none.
        """
        if name not in self.audits:
            raise ConfigError(f"params.yaml has no audits.{name}; it has {sorted(self.audits)}")
        return self.audits[name]

    def chosen(self, name: str | None) -> list[str]:
        """The audit of that name, or all where none is given.

        Raises:
            ConfigError: params.yaml has none of that name.
        """
        if name is None:
            return list(self.audits)
        self.audit(name)
        return [name]

    def dataset(self, name: str) -> DatasetConfig:
        """The dataset of that name.

        Raises:
            ConfigError: params.yaml has none.
        """
        if name not in self.datasets:
            raise ConfigError(f"params.yaml has no datasets.{name}; it has {sorted(self.datasets)}")
        return self.datasets[name]

    def model(self, name: str) -> ModelConfig:
        """The model of that name.

        Raises:
            ConfigError: params.yaml has none.
        """
        if name not in self.models:
            raise ConfigError(f"params.yaml has no models.{name}; it has {sorted(self.models)}")
        return self.models[name]

    def entry(self, name: str) -> EmbeddingsConfig:
        """The embeddings of that name.

        Raises:
            ConfigError: params.yaml has none.
        """
        if name not in self.embeddings:
            raise ConfigError(
                f"params.yaml has no embeddings.{name}; it has {sorted(self.embeddings)}"
            )
        return self.embeddings[name]


def _same(key: str, listed: list[str], needed: set[str]) -> None:
    if missing := sorted(needed - set(listed)):
        raise ValueError(f"{key} lacks {missing}: list what does not come from this workflow")
    if unknown := sorted(set(listed) - needed):
        raise ValueError(f"{key} lists {unknown}, which need not come from outside: take them out")
    if len(listed) > len(set(listed)):
        raise ValueError(f"{key} lists a name twice: {listed}")


def _check_apart(name: str, model: ModelConfig) -> None:
    """Make sure that a model's source is not in the folder that `fetch` makes anew."""
    made = layout.model(name)
    for key, value in (("name", model.name), ("pretrained", model.pretrained)):
        if Path((value or "").removeprefix("local-dir:")).resolve().is_relative_to(made.resolve()):
            raise ValueError(
                f"models.{name}.{key} is {value!r}: {made} is deleted before the model is fetched; "
                "put its files elsewhere, or give the model another key"
            )


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        ConfigError: the file is missing or is no YAML, shares values or names one twice, a key is
            unknown or missing, or a value is not allowed; the message has a line for each, with the
            key and the value.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist: run from the repository's root")
    text = ""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if problems := [f"{path}, {problem}" for problem in _unclear(text)]:
            raise ConfigError("\n".join(problems))
        raw = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise not_yaml(path, text, error) from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(path, raw, dict(problem)) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _unclear(text: str) -> list[str]:
    """What is written so that DVC and a reader might take it differently."""
    shared = {
        event.start_mark.line + 1
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if event.start_mark and (getattr(event, "anchor", None) or _merges(event))
    }
    if not shared:
        return _repeated(yaml.compose(text, Loader=yaml.SafeLoader), "")
    lines = ", ".join(map(str, sorted(shared)))
    return [
        f"lines {lines}: anchors (&name), aliases (*name) and merge keys (<<) share values between "
        "entries, of which `dvc exp run -S` would change all or none without a word: write each "
        "value out where it is used, as `audit add` does"
    ]


def _merges(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]


def _repeated(node: yaml.Node | None, where: str) -> list[str]:
    """Keys that a mapping has twice, of which YAML would take the last."""
    if isinstance(node, yaml.SequenceNode):
        return [line for part in node.value for line in _repeated(part, where)]
    if not isinstance(node, yaml.MappingNode):
        return []
    found, lines = [], dict[str, int]()
    for key, value in node.value:
        line = key.start_mark.line + 1
        first = lines.setdefault(str(key.value), line)
        if first != line:
            found.append(
                f"line {line}: {where}{key.value} stands in line {first} already: keep one of them"
            )
        found += _repeated(value, f"{where}{key.value}.")
    return found


def _explain(path: Path, raw: object, problem: dict[str, Any]) -> str:
    location = problem["loc"]
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown key {key} (value {problem['input']!r}): remove it or fix its name"
    if problem["type"] == "missing":
        return f"{path}: key {key} is missing{_remedy(path, raw, location)}"
    value = problem["input"]
    if isinstance(value, str):
        value = PASSWORD.sub("…", value)
    shown = f" is {value!r}" if isinstance(value, str | int | float | bool | None) else ""
    return f"{path}: {key or 'params'}{shown}: {problem['msg']}"


def _remedy(path: Path, raw: Any, location: tuple[str | int, ...]) -> str:
    """The line to add for a key that is missing, where SECTIONS or the catalog has one for it.

    Args:
        path: of the settings, with the catalog beside it.
        raw: what it holds.
        location: of the key, with numbers for items of lists.
    """
    section, *name_and_keys = location
    if section in SECTIONS and not name_and_keys:
        return f": add the line\n  {SECTIONS[str(section)]}"
    if section not in ("datasets", "embeddings", "audits") or len(name_and_keys) < 2:
        return ""
    name, *keys = name_and_keys
    try:
        catalog = read_catalog(path.with_name(CATALOG.name))
        value: Any = (
            default_dataset(catalog, str(name))
            if section == "datasets"
            else default_embeddings(catalog)
            if section == "embeddings"
            else default_audit(catalog, raw[section][name].get("dataset"))
        )
        own = ""
        if section == "audits" and len(keys) > 1 and value[keys[0]] is None:
            # What is switched off by default the catalog has for a dataset that it suits.
            given = catalog["audits"]
            known = next((name for name, audit in given.items() if audit.get(keys[0])), None)
            value = given[known]
            if keys[-1] in OF_A_DATASET:
                own = f"\n  This is the catalog's for {known}: set what fits this dataset"
        for key in keys:
            value = value[key]
    except (ConfigError, LookupError, TypeError):
        return ""
    line = yaml.safe_dump({keys[-1]: value}, default_flow_style=True, sort_keys=False, width=10**6)
    return f": add to {'.'.join(map(str, location[:-1]))} the line\n  {line.strip()[1:-1]}{own}"
