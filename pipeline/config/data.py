"""Datasets, models and embeddings: where they come from, and how images run through a model."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, model_validator
from upath import UPath

from pipeline.config.base import Count, Fraction, Name, Section
from pipeline.places import Place, place

HERE = "local-dir:data/models"
"""Where every model lies that a stage loads, as open_clip says it."""


def _place(given: object) -> Place:
    if isinstance(given, str | Path | UPath):
        return place(str(given))
    raise ValueError(f"{given!r} is no path")


class EmbedConfig(Section):
    """How images run through a model."""

    batch_size: Count
    """Images in a forward pass; halved as often as needed on a GPU that runs out of memory."""
    workers: Literal["auto"] | Annotated[int, Field(ge=0)]
    """Processes that decode images; 0 decodes in `threads` threads between forward passes, which is
    fastest where the model runs on the same cores. `auto` takes 0 on the CPU, elsewhere one for
    each of the machine's cores. It decides no byte."""
    shard_rows: Count
    """Images in one Parquet shard."""
    dtype: Literal["float16", "float32"]
    """Precision in which embeddings are stored."""
    spatial_tokens: Annotated[int, Field(ge=0)]
    """Spatial tokens of each image that are stored beside its class token, drawn by the image's
    hash; 0 for none, and as many as the model has, or more, for all."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """Where the model runs; `auto` takes CUDA, else MPS, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    """Arithmetic of the forward pass; `auto` takes half precision on CUDA where the first images'
    embeddings agree with float32, else float32."""


class EmbeddingsConfig(EmbedConfig):
    """One dataset's images through one model, shared by all audits and labelers that name it."""

    dataset: Name
    model: Name


class DatasetConfig(Section):
    """A dataset on disk and how its components are named."""

    kind: Literal["image_folder", "csv", "imagenet", "isic"]
    """Layout: `image_folder` is `train/<class>/`, `val/<class>/`, or `<class>/`; `csv` is a table
    `images.csv` with the columns path and label; `imagenet` is ImageNet-1k as torchvision, Kaggle,
    Hugging Face or WebDataset have it; `isic` is one or more of ISIC 2018, 2019, 2020, 2024 and
    HAM10000."""
    root: Annotated[Place, PlainValidator(_place), PlainSerializer(str)]
    """Folder of the raw dataset, or its URL in a store, s3://bucket/folder."""
    splits: dict[Literal["train", "val", "test"], Fraction] | None
    """Share of groups in each split, for layouts that say none (isic, csv without a column split,
    image_folder without a folder for validation); else null."""
    every: Count
    """Keep every n-th train image of each class; 1 keeps all, the paper's reference set is 5."""
    near_duplicates: Annotated[int, Field(ge=0, le=64)] | None
    """Images whose perceptual hashes of 256 bits differ in at most this many bits are duplicates,
    and none straddles a split; null looks for equal bytes only."""
    pixels: Literal["shown", "stored"]
    """`shown` takes an image as a viewer shows it: turned as its orientation tag says, and on white
    where it is transparent; `stored` as open_clip does, neither. Either scales more than 8 bits."""
    max_excluded: Fraction
    """Share of unreadable images above which preparation stops."""
    licence: str | None
    """Licence of the images, where the folder has no LICENSE.txt."""
    labeler: Name
    """Model that names components, a key of models."""
    vocabulary: Path
    """Terms to name components with: a text file of one term a line, or a CSV with `term,kind`."""
    embeddings: Name
    """The labeler's embeddings of this dataset, a key of embeddings."""
    templates: Annotated[list[str], Field(min_length=1)]
    """Prompt templates, each with one `{}` for the class name."""
    descriptions: Literal["class_name", "wordnet", "table"]
    """What extended prompts say of a class: its full name; its full name and WordNet's definition,
    for labels such as n01440764; or what the table `label,description` says that every dataset has
    in vocabularies/descriptions/."""

    @model_validator(mode="after")
    def _check(self) -> "DatasetConfig":
        if self.kind == "isic" and self.splits is None:
            raise ValueError(
                "splits is null: kind isic needs shares such as {train: 0.8, val: 0.2}"
            )
        if self.kind == "imagenet" and self.splits is not None:
            raise ValueError("splits must be null: kind imagenet takes them from its layout")
        if self.splits is not None and abs(sum(self.splits.values()) - 1) > 1e-9:
            raise ValueError(f"splits sum to {sum(self.splits.values())}, not to 1")
        for template in self.templates:
            # One more brace, or a name in braces, would stop the prompts' formatting.
            if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
                raise ValueError(
                    f"template {template!r} must hold exactly one {{}}, no other brace"
                )
        return self


class PreprocessConfig(Section):
    """What a model's images go through, in open_clip's words."""

    mean: tuple[float, float, float]
    """Of the red, green and blue that the model was trained on, in 0 to 1."""
    std: tuple[float, float, float]
    """Likewise."""
    interpolation: Literal["bicubic", "bilinear"]
    resize_mode: Literal["shortest", "longest", "squash"]


class ModelConfig(Section):
    """An open_clip model. Keys that may be null may be left out."""

    name: str
    """open_clip's model name, `hf-hub:<repo>` or `local-dir:<folder>`. A model whose name is
    `local-dir:data/models/<key>` is there already; every other is listed in `outside.models`, and
    the stage `fetch` brings it there."""
    pretrained: str | None = None
    """open_clip's pretrained tag, or the file of a checkpoint; null where the name already says
    where the weights are."""
    preprocess: PreprocessConfig | None = None
    """For the file of a checkpoint, which does not say it; null takes the tag's or the folder's."""
    tokenizer: str | None = None
    """open_clip's model name whose tokenizer is meant, where a hub repository says none."""
    note: str | None = None
    """What every report on this model has to say, such as the data it was fine-tuned on."""

    def said(self) -> dict[str, str | None]:
        """What pages on this model say of it, beside what its folder does."""
        return self.model_dump(include={"name", "pretrained", "note"})

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if ":" in self.name and self.pretrained is not None:
            raise ValueError(
                f"pretrained is {self.pretrained!r}: it must be null beside {self.name!r}, which "
                "says where its weights are"
            )
        return self


class OutsideConfig(Section):
    """What comes from outside the workflow; it is looked for before anything else runs."""

    datasets: list[Name]
    """Datasets whose root is put there by hand: all but the rendered samples."""
    models: list[Name]
    """Models that `fetch` brings into data/models: all but those that lie there already."""
