"""params.yaml: what is refused, and that the refusal names the key and the value."""

from pathlib import Path

import pytest
import yaml

from pipeline.config import ConfigError, load_params, read_catalog

ROOT = Path(__file__).parents[3]


def write(folder: Path, change) -> Path:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    change(raw)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


def fetched(raw: dict, **entry: str) -> None:
    """Add a model that `fetch` brings into data/models."""
    raw["models"]["mine"] = entry
    raw["outside"]["models"] = ["mine"]


def test_the_shipped_params_load():
    params = load_params(ROOT / "params.yaml")
    assert params.audit("scenes-tiny").dataset == "scenes"
    assert params.audit("lesions-tiny").shortcut is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.update(sed=1), "unknown key sed"),
        (lambda raw: raw["samples"].update(workers=0), "samples.workers is 0"),
        (lambda raw: raw["audits"]["scenes-tiny"]["sae"].update(kk=3), "audits.scenes-tiny.sae.kk"),
        (lambda raw: raw["audits"]["scenes-tiny"].pop("label"), "audits.scenes-tiny.label is mis"),
        (lambda raw: raw["audits"]["scenes-tiny"]["sae"].update(k=0), "scenes-tiny.sae.k is 0"),
        (lambda raw: raw["audits"]["scenes-tiny"]["sae"].update(k=4096), "cannot exceed comp"),
        (
            lambda raw: raw["audits"]["scenes-tiny"]["sae"].update(epochs=15, decay_after=[8, 20]),
            "audits.scenes-tiny.sae: Value error, decay_after is [8, 20], but epochs is 15: "
            "nothing comes after [20]; take them out, or name epochs below 15",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"]["sae"].update(epochs=12),
            "decay_after is [8, 12], but epochs is 12: nothing comes after [12]",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"]["sae"].update(revive_after=[99]),
            "revive_after is [99], but epochs is ",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"]["concepts"].update(relevance=0.01),
            "concepts: Value error, activation_quantile and relevance of activation, "
            "activation_quantile, relevance, relevance_quantile are given: give one of them",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"]["concepts"].pop("alignment"),
            "concepts: Value error, none of alignment, alignment_quantile is given: give one",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"]["failures"].update(peer_deviations=1.0),
            "peer_deviations 1.0 is less than candidate_deviations 1.5",
        ),
        (
            lambda raw: raw["audits"]["lesions-tiny"]["shortcut"].update(mask="masks"),
            "mask 'masks' is neither dermoscopy, null nor a path with {image} in it",
        ),
        (
            lambda raw: raw["audits"]["lesions-tiny"]["shortcut"].update(quantiles=[0.9, 0.4]),
            "quantiles [0.9, 0.4] must rise",
        ),
        (
            lambda raw: raw["audits"]["lesions-tiny"]["shortcut"]["shifts"].update(blur=[-1]),
            "shifts.blur [-1.0]: its strengths are above 0",
        ),
        (
            lambda raw: raw["audits"]["lesions-tiny"]["shortcut"]["shifts"].update(red=[1, -1]),
            "shifts.red [1.0, -1.0] must rise and leave 0 out",
        ),
        (
            lambda raw: raw["audits"]["lesions-tiny"]["shortcut"].update(negative=["MEL"]),
            "positive and negative both have ['MEL']",
        ),
        (lambda raw: raw["audits"]["scenes-tiny"].update(dataset="cats"), "'cats', which datasets"),
        (lambda raw: raw["audits"]["scenes-tiny"].update(model="huge"), "'huge', which models"),
        (lambda raw: raw["datasets"]["scenes"].update(labeler="huge"), "datasets.scenes.labeler"),
        (lambda raw: raw["datasets"]["scenes"].update(templates=["a cat"]), "exactly one {}"),
        (lambda raw: raw["datasets"]["lesions"].update(splits={"train": 0.5}), "sum to 0.5"),
        (lambda raw: raw["datasets"]["lesions"].update(splits=None), "splits is null"),
        (
            lambda raw: raw["datasets"]["scenes"].update(root="mydisk"),
            "datasets.scenes.root is 'mydisk': it must be data/raw/scenes",
        ),
        (lambda raw: raw["datasets"]["lesions"].update(root="."), "must be data/raw/lesions"),
        (
            lambda raw: raw["datasets"]["lesions"].update(root="s3://data/lesions"),
            "datasets.lesions.root is 's3://data/lesions': it must be data/raw/lesions",
        ),
        (
            lambda raw: raw["datasets"]["lesions"].update(root="abfs://data/lesions"),
            "abfs://data/lesions is neither a folder nor in a store that can be read (gs://",
        ),
        (
            lambda raw: raw["datasets"]["lesions"].update(root=["a"]),
            "datasets.lesions.root: Value error, ['a'] is no path",
        ),
        (
            lambda raw: fetched(raw, name="ViT-B-32", pretrained="data/models/mine/mine.pt"),
            "models.mine.pretrained is 'data/models/mine/mine.pt': data/models/mine is deleted",
        ),
        (
            lambda raw: fetched(raw, name="local-dir:data/models/mine/open_clip"),
            "models.mine.name is 'local-dir:data/models/mine/open_clip': data/models/mine is del",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"].update(embeddings="none"),
            "audits.scenes-tiny.embeddings is 'none', which embeddings does not hold; it holds "
            "['lesions-tiny', 'scenes-tiny']",
        ),
        (
            lambda raw: raw["audits"]["scenes-tiny"].update(embeddings="lesions-tiny"),
            "audits.scenes-tiny.embeddings is 'lesions-tiny': embeddings.lesions-tiny has dataset "
            "'lesions' and model 'tiny', but audits.scenes-tiny is of dataset 'scenes' and model "
            "'tiny': name 'scenes-tiny' there",
        ),
        (
            lambda raw: raw["datasets"]["scenes"].update(embeddings="lesions-tiny"),
            "datasets.scenes is of dataset 'scenes' and labeler 'tiny': name 'scenes-tiny' there",
        ),
        (
            lambda raw: (
                fetched(raw, name="hf-hub:a/b"),
                raw["audits"]["scenes-tiny"].update(model="mine"),
            ),
            "dataset 'scenes' and model 'mine': add an entry of these two to embeddings, and name",
        ),
        (
            lambda raw: (
                fetched(raw, name="hf-hub:a/b"),
                raw["datasets"]["scenes"].update(labeler="mine"),
            ),
            "datasets.scenes is of dataset 'scenes' and labeler 'mine': add an entry",
        ),
        (
            lambda raw: raw["embeddings"]["scenes-tiny"].update(model="huge"),
            "embeddings.scenes-tiny.model is 'huge', which models does not hold",
        ),
        (
            lambda raw: raw["embeddings"].update(
                {"concepts-a": dict(raw["embeddings"]["scenes-tiny"])}
            ),
            "embeddings.concepts-a: a name that starts with concepts-",
        ),
        (
            lambda raw: raw["embeddings"]["scenes-tiny"].update(spatial_tokens=-1),
            "embeddings.scenes-tiny.spatial_tokens is -1",
        ),
        (lambda raw: raw["datasets"]["scenes"].update(kind="tar"), "datasets.scenes.kind is 'tar'"),
    ],
)
def test_what_cannot_run_is_named(tmp_path, change, said):
    with pytest.raises(ConfigError, match=r"params\.yaml") as caught:
        load_params(write(tmp_path, change))
    assert said in str(caught.value)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(ConfigError, match="repository's root"):
        load_params(tmp_path / "params.yaml")


def test_broken_yaml_names_the_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("seed: [1", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_params(path)


@pytest.mark.parametrize("read", [load_params, read_catalog])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a:\n  b: 1\n\tc: 2\n", 3),
        ("a:\n  b: 1\n  \tc: 2\n", 3),
        ("a:\n  b: c\n\t  d\n  e: f: 1\n", 3),  # said of the line after it
    ],
)
def test_broken_yaml_is_said_of_its_file_and_tabs_are_named(tmp_path, read, text, line):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert f"in {path}, line " in str(caught.value) and "<unicode string>" not in str(caught.value)
    assert str(caught.value).endswith(
        f"\nline {line} begins with a tab, and YAML takes no tabs there: put spaces"
    )
    path.write_text("a: b: 1\n\n\tc: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="mapping values are not allowed") as caught:
        read(path)
    assert "tab" not in str(caught.value)


def test_an_unknown_audit_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"no audits.nope; it has \['lesions-tiny'"):
        load_params(ROOT / "params.yaml").audit("nope")


def test_an_unknown_model_lists_the_known_ones():
    params = load_params(ROOT / "params.yaml")
    assert params.model("tiny") is params.models["tiny"]
    with pytest.raises(ConfigError, match=r"no models\.nope; it has \['tiny'\]"):
        params.model("nope")


def test_parameters_are_frozen():
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 3


def test_a_password_in_a_url_is_not_repeated(tmp_path):
    url = "s3://me:hidden@data/lesions"
    with pytest.raises(ConfigError, match=r"datasets\.lesions\.root .*holds a password") as caught:
        load_params(write(tmp_path, lambda raw: raw["datasets"]["lesions"].update(root=url)))
    assert "hidden" not in str(caught.value) and "s3://…@data/lesions" in str(caught.value)
