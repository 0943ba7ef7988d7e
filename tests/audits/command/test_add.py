"""`audit add`: what it writes into params.yaml, and what it refuses."""

import shutil
from pathlib import Path

import pytest
import yaml

from audits.command.__main__ import main
from audits.command.add import Request, plan
from audits.command.params_text import Addition, edited, without
from pipeline import places
from pipeline.config import (
    AuditConfig,
    ConfigError,
    DatasetConfig,
    load_params,
    read_catalog,
)

ROOT = Path(__file__).parents[3]
DEFAULTS = read_catalog(ROOT / "catalog.yaml")["defaults"]
CATALOG = {
    "defaults": DEFAULTS,
    "datasets": {
        "flowers": {
            "kind": "image_folder",
            "root": "data/raw/flowers",
            "every": 3,
            "labeler": "namer",
            "vocabulary": "vocabularies/scenes.csv",
            "templates": ["{}", "a {} in bloom"],
        },
        "moles": {
            "kind": "isic",
            "root": "data/raw/moles",
            "splits": {"train": 0.75, "val": 0.25},
            "labeler": "tiny",
            "vocabulary": "vocabularies/dermoscopy.csv",
        },
    },
    "models": {
        "b32": {"name": "ViT-B-32", "pretrained": "laion400m_e32"},
        "namer": {"name": "hf-hub:someone/namer"},
    },
    "audits": {
        "moles": {
            "sae": {"components": 300, "learning_rate": 0.00005, "decay_after": [3, 4]},
        }
    },
}
OWN = {
    "kind": "image_folder",
    "root": "/data/birds",
    "vocabulary": "vocabularies/birds.csv",
    "labeler": "mine",
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with the shipped params.yaml and the catalog of this file."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(CATALOG, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shipped() -> str:
    return (ROOT / "params.yaml").read_text(encoding="utf-8")


def added_lines(before: str, after: str) -> list[str]:
    """Lines of after that before does not have; before has none that after does not have."""
    left = before.splitlines(keepends=True)
    added = []
    for line in after.splitlines(keepends=True):
        if left and line == left[0]:
            left.pop(0)
        else:
            added.append(line)
    assert left == []
    return added


def test_everything_else_stays_byte_for_byte(here):
    main(["add", "moles-b32", "--dataset", "moles", "--model", "b32"])
    before, after = shipped(), (here / "params.yaml").read_text(encoding="utf-8")
    changed = before.replace("  datasets: []\n", "  datasets: [moles]\n")
    changed = changed.replace("  models: []\n", "  models: [b32]\n")
    lines = added_lines(changed, after)
    names = [line.strip() for line in lines if line.startswith("  ") and line[2] != " "]
    assert names == ["moles:", "b32:", "moles-b32:", "moles-tiny:", "moles-b32:"]
    # Each entry stands at the end of its section, before the next section's comment.
    assert "    descriptions: class_name\n  moles:\n" in after
    assert "\n    pretrained: laion400m_e32\n\n# A dataset's images through a model" in after
    assert "      learning_rate: 0.00005\n" in after and "      decay_after: [3, 4]\n" in after
    assert "    splits: {train: 0.75, val: 0.25}\n" in after


def test_what_was_there_parses_as_before_and_the_new_entries_hold_every_key(here):
    before = load_params(here / "params.yaml")
    main(["add", "moles-b32", "--dataset", "moles", "--model", "b32"])
    after = load_params(here / "params.yaml")
    for section in ("datasets", "models", "audits"):
        old, new = getattr(before, section), getattr(after, section)
        assert {name: new[name] for name in old} == old
    assert after.seed == before.seed
    audit = after.audits["moles-b32"]
    assert (audit.sae.components, audit.sae.learning_rate) == (300, 0.00005)
    assert audit.failures == before.audits["scenes-tiny"].failures
    assert audit.sae.k == DEFAULTS["audit"]["sae"]["k"]
    assert after.datasets["moles"].near_duplicates == DEFAULTS["dataset"]["near_duplicates"]
    raw = yaml.safe_load((here / "params.yaml").read_text(encoding="utf-8"))
    assert list(raw["audits"]["moles-b32"]) == list(AuditConfig.model_fields)
    assert list(raw["datasets"]["moles"]) == list(DatasetConfig.model_fields)
    of = {"dataset": "moles", "model": "b32"}
    assert raw["embeddings"]["moles-b32"] == of | DEFAULTS["embeddings"]
    assert raw["embeddings"]["moles-tiny"] == of | {"model": "tiny"} | DEFAULTS["embeddings"]
    assert audit.embeddings == "moles-b32"
    assert after.datasets["moles"].embeddings == "moles-tiny"
    assert after.embeddings["scenes-tiny"] == before.embeddings["scenes-tiny"]
    assert after.outside.datasets == ["moles"]
    assert after.outside.models == ["b32"]


def test_a_second_audit_of_the_same_dataset_adds_only_itself(here):
    main(["add", "flowers-b32", "--dataset", "flowers", "--model", "b32"])
    first = (here / "params.yaml").read_text()
    assert load_params().outside.models == ["b32", "namer"]
    main(["add", "flowers-namer", "--dataset", "flowers", "--model", "namer"])
    lines = added_lines(first, (here / "params.yaml").read_text())
    assert [line.strip() for line in lines[:4]] == [
        "flowers-namer:",
        "dataset: flowers",
        "model: namer",
        "embeddings: flowers-namer",
    ]
    assert not any(line.startswith("  ") and line[2] != " " for line in lines[1:])


def test_a_dataset_in_a_store_is_named_by_its_url(here, capsys, monkeypatch):
    def missing(*_, **__):
        raise ImportError("Please install s3fs")

    monkeypatch.setattr(places.fsspec, "filesystem", missing)
    places._connected.cache_clear()  # another test may have been connected
    folder = here / "data" / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text("{}")
    options = [f"--{key}={value}" for key, value in {**OWN, "root": "s3://data/birds/"}.items()]
    main(["add", "birds-mine", "--dataset", "birds", "--model", "mine", *options])
    assert "    root: s3://data/birds\n" in (here / "params.yaml").read_text()
    assert str(load_params().datasets["birds"].root) == "s3://data/birds"
    said = capsys.readouterr().out
    assert "s3://data/birds (kind image_folder), out of reach" in said
    assert "cannot be read without a package: `pip install dvc-s3`" in said


def test_data_and_model_of_ones_own(here, capsys):
    folder = here / "data" / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text("{}")
    options = [part for key, value in OWN.items() for part in (f"--{key}", value)]
    main(["add", "birds-mine", "--dataset", "birds", "--model", "mine", *options])
    params = load_params()
    assert params.models["mine"].name == "local-dir:data/models/mine"
    # One entry for both: the labeler is the audited model.
    assert list(params.embeddings) == ["scenes-tiny", "lesions-tiny", "birds-mine"]
    assert params.audits["birds-mine"].embeddings == params.datasets["birds"].embeddings
    assert params.outside.datasets == ["birds"]
    assert params.outside.models == []
    said = capsys.readouterr().out
    assert "/data/birds (kind image_folder), not there yet" in said
    assert "mine: data/models/mine, is there" in said
    assert "dvc repro publish@birds-mine" in said
    assert not (here / "data" / "raw").exists()


def test_another_audit_of_a_model_on_a_dataset_shares_its_embeddings(here, capsys):
    main(["add", "again", "--dataset", "scenes", "--model", "tiny"])
    assert (
        "embeddings   scenes-tiny, the images through tiny, in params.yaml already, shared with "
        "audit scenes-tiny and the labeler of scenes\n"
    ) in capsys.readouterr().out
    params = load_params()
    assert params.audits["again"].embeddings == "scenes-tiny"
    assert list(params.embeddings) == ["scenes-tiny", "lesions-tiny"]


def test_embeddings_of_the_default_settings_come_before_others(here):
    raw = yaml.safe_load(shipped())
    default = {"dataset": "scenes", "model": "tiny"} | DEFAULTS["embeddings"]
    raw["embeddings"] |= {"usual": default, "scenes-b32": default | {"dataset": "lesions"}}
    (here / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    main(["add", "again", "--dataset", "scenes", "--model", "tiny"])
    main(["add", "new", "--dataset", "scenes", "--model", "b32"])
    params = load_params()
    assert params.audits["again"].embeddings == "usual"
    # The name that it would have is of others.
    assert params.audits["new"].embeddings == "scenes-b32-2"
    assert params.embeddings["scenes-b32-2"].model == "b32"


def test_a_dry_run_says_the_difference_and_writes_nothing(here, capsys):
    main(["add", "x", "--dataset", "moles", "--model", "tiny", "--root", "/m/", "--dry-run"])
    said = capsys.readouterr().out
    assert "+    root: /m\n" in said
    assert "-  datasets: []\n" in said
    assert (here / "params.yaml").read_text(encoding="utf-8") == shipped()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scenes-tiny", "--dataset", "scenes", "--model", "tiny"], "has audits.scenes-tiny"),
        (["x", "--dataset", "nope", "--model", "tiny"], "['flowers', 'moles']"),
        (["x", "--dataset", "nope", "--model", "tiny"], "--kind, --root, --vocabulary, --labeler"),
        (["x", "--dataset", "scenes", "--model", "nope"], "['b32', 'namer']"),
        (["x", "--dataset", "scenes", "--model", "v", "--model-name", "ViT-B-32"], "--pretrained"),
        (["x", "--dataset", "scenes", "--model", "v", "--pretrained", "openai"], "--model-name"),
        (
            ["x", "--dataset", "scenes", "--model", "b32", "--model-name", "hf-hub:a/b"],
            "b32 already",
        ),
        (["x", "--dataset", "scenes", "--model", "tiny", "--root", "/e"], "with root 'data/raw/sc"),
        (
            [
                "x",
                "--dataset",
                "scenes",
                "--model",
                "v",
                "--model-name=ViT-B-99",
                "--pretrained=v.pt",
            ],
            "models.v.name is 'ViT-B-99': open_clip has no such model; near to it are ['ViT-B-",
        ),
        (["X.1", "--dataset", "scenes", "--model", "tiny"], "audits.X.1"),
        (["x", "--dataset", "flowers", "--model", "tiny", "--kind", "tfds"], "'image_folder'"),
        (["x", "--dataset", "flowers", "--model", "tiny", "--kind", "isic"], "--val-share"),
    ],
)
def test_a_bad_request_is_one_message_and_no_change(here, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        main(["add", *arguments])
    assert said in str(stopped.value)
    assert "Traceback" not in str(stopped.value)
    assert (here / "params.yaml").read_text(encoding="utf-8") == shipped()
    assert sorted(path.name for path in here.iterdir()) == ["catalog.yaml", "params.yaml"]


def test_a_share_for_validation_gives_splits(here):
    given = ["--kind", "isic", "--root", "d", "--vocabulary", "v.csv", "--labeler", "tiny"]
    main(["add", "x", "--dataset", "d", "--model", "tiny", *given, "--val-share", "0.3"])
    assert load_params().datasets["d"].splits == {"train": 0.7, "val": 0.3}


def addition() -> Addition:
    request = Request("birds-b32", "birds", "b32", OWN | {"labeler": "namer"})
    return plan(request, load_params(ROOT / "params.yaml"), CATALOG, Path("none"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  datasets: []\n", "  datasets: [birds]\n"),
        ("  datasets: [a, 'b' ] # two\n", "  datasets: [a, 'b', birds ] # two\n"),
        (
            "  datasets: [\n    a,\n    b, # last\n  ]\n",
            "  datasets: [\n    a,\n    b, birds, # last\n  ]\n",
        ),
        (
            "  datasets:\n    - a\n    - b # last\n",
            "  datasets:\n    - a\n    - b # last\n    - birds\n",
        ),
        ("  datasets:\n  - a\n", "  datasets:\n  - a\n  - birds\n"),
    ],
)
def test_lists_are_added_to_as_they_are_written(old, new):
    text = shipped().replace("  datasets: []\n", old)
    assert new in edited(text, addition())


def test_sections_are_added_to_as_they_are_written():
    text = shipped()
    start = text.index("audits:\n")
    wide = text[:start] + "audits:\n    a:\n        dataset: scenes # last\n"
    entry = "    birds-b32:\n      dataset: birds\n      model: b32\n      embeddings: birds-b32\n"
    assert f"# last\n{entry}" in edited(wide, addition())
    empty = text[:start] + "audits: {} # none yet\n# the end"
    new = edited(empty, addition())
    assert "audits: # none yet\n  birds-b32:\n    dataset: birds\n    model: b32\n" in new
    assert new.endswith("    report: {gallery: 8, thumbnail: 96, maps: 1000}\n# the end\n")


@pytest.mark.parametrize(
    "text",
    [
        shipped().replace("audits:\n", "audits: &all\n") + "more: *all\n",
        shipped()[: shipped().index("audits:\n")] + "audits: {a: {dataset: scenes, model: tiny}}\n",
    ],
)
def test_a_text_that_cannot_be_added_to_is_refused_with_what_to_add(text):
    with pytest.raises(
        ConfigError, match=r"by hand(.|\n)*birds-b32:\n(.|\n)*outside.datasets: bir"
    ):
        edited(text, addition())


def test_line_ends_of_windows_are_kept(here):
    crlf = shipped().replace("\n", "\r\n").encode()
    (here / "params.yaml").write_bytes(crlf)
    main(["add", "x", "--dataset", "scenes", "--model", "b32"])
    content = (here / "params.yaml").read_bytes()
    assert content.count(b"\r\n") == content.count(b"\n") > crlf.count(b"\n")


@pytest.mark.parametrize(
    "name", yaml.safe_load((ROOT / "catalog.yaml").read_text(encoding="utf-8"))["datasets"]
)
def test_every_dataset_of_the_shipped_catalog_can_be_switched_on(here, name):
    shutil.copy(ROOT / "catalog.yaml", here)
    main(["add", "new", "--dataset", name, "--model", "vit-b-32-laion400m"])
    assert load_params().audits["new"].dataset == name


@pytest.mark.parametrize(
    ("folders", "share", "said"),
    [
        (["bat", "owl"], [], "does not say which images are for validation: give --val-share 0.2"),
        (["train/bat", "train/owl"], [], "give --val-share 0.2, say"),
        (["train/bat", "val/bat"], ["--val-share", "0.2"], "leave out --val-share"),
    ],
)
def test_a_share_that_alone_is_wrong_is_said_before_sizes_are_taken(here, folders, share, said):
    for folder in folders:
        (here / "birds" / folder).mkdir(parents=True)
        for number in range(3):
            (here / "birds" / folder / f"{number}.png").touch()
    given = OWN | {"root": "birds", "labeler": "tiny"}
    own = ["--dataset", "birds", "--model", "tiny", *(f"--{key}={given[key]}" for key in given)]
    with pytest.raises(SystemExit) as stopped:
        main(["add", "birds-tiny", *own, *share])
    assert f"dataset 'birds': {Path('birds')} " in str(stopped.value)
    assert said in str(stopped.value)
    assert (here / "params.yaml").read_text(encoding="utf-8") == shipped()
    main(["add", "birds-tiny", *own, *([] if share else ["--val-share", "0.2"])])
    assert "birds-tiny" in load_params().audits


WRONG = ["birds-mine", "--dataset", "brids", "--model", "mime", "--model-name", "hf-hub:a/b"]
RIGHT = ["birds-mine", "--dataset", "birds", "--model", "mine", "--model-name", "local-dir:e"]


def own(**changes: str) -> list[str]:
    """Options of a dataset of one's own."""
    given = OWN | changes
    return [word for key in OWN for word in (f"--{key}", given[key])]


def test_an_audit_is_written_anew_with_what_nothing_else_uses(here, capsys):
    main(["add", *RIGHT, *own(labeler="namer")])
    right = load_params()
    (here / "params.yaml").write_text(shipped())
    main(["add", *WRONG, *own(root="/dta", labeler="namer")])
    with pytest.raises(SystemExit, match="give --replace to write it anew"):
        main(["add", *RIGHT, *own(labeler="namer")])
    capsys.readouterr()
    main(["add", *RIGHT, *own(labeler="namer"), "--replace"])
    found = load_params()
    for section in ("datasets", "models", "embeddings", "audits"):
        assert getattr(found, section) == getattr(right, section)
    assert found.outside.datasets == ["birds"] and set(found.outside.models) == {"mine", "namer"}
    assert "brids" not in (here / "params.yaml").read_text()
    assert capsys.readouterr().out.startswith(
        "replaced     datasets.brids, models.mime, embeddings.brids-mime, embeddings.brids-namer, "
        "audits.birds-mine\nparams.yaml  has datasets.birds, "
    )


def test_what_other_audits_use_stays_when_one_is_written_anew(here, capsys):
    main(["add", "first", "--dataset", "flowers", "--model", "b32"])
    main(["add", "second", "--dataset", "flowers", "--model", "namer"])
    before = load_params()
    capsys.readouterr()
    main(["add", "second", "--dataset", "flowers", "--model", "tiny", "--replace"])
    assert capsys.readouterr().out.startswith("replaced     audits.second\n")
    after = load_params()
    assert after.audits["second"].model == "tiny"
    assert after.audits["first"] == before.audits["first"]
    assert after.datasets == before.datasets and after.models == before.models
    # The samples are the workflow's own, also where no other audit is of them.
    main(["add", "scenes-tiny", "--dataset", "scenes", "--model", "b32", "--replace"])
    assert load_params().datasets["scenes"] == before.datasets["scenes"]
    assert "tiny" in load_params().models
    with pytest.raises(SystemExit, match="flowers already, with root"):
        main(["add", "first", "--dataset", "flowers", "--model", "b32", "--root", "x", "--replace"])


def test_entries_are_taken_out_as_they_were_put_in():
    start = shipped()
    added = addition()
    names = {section: list(entries) for section, entries in added.entries.items()}
    assert without(edited(start, added), names, added.outside) == start
    every = {"audits": ["scenes-tiny", "lesions-tiny"]}
    empty = without(start, every, {})
    assert "\naudits: {}\n" in empty and empty.count("#") > 5
    lists = (
        "[a, b, c] # all",
        "\n    - a\n    - b # two\n    - c",
        "[\n    a,\n    b,\n    c\n  ]",
    )
    for listed in lists:
        text = start.replace("  datasets: []\n", f"  datasets: {listed}\n")
        for gone in (["a"], ["b"], ["c"], ["c", "a"], ["a", "b", "c"]):
            left = yaml.safe_load(without(text, {}, {"datasets": gone}))["outside"]["datasets"]
            assert left == [name for name in "abc" if name not in gone]
    flow = start[: start.index("audits:\n")] + "audits: {a: {dataset: b}, c: {dataset: d}}\n"
    with pytest.raises(ConfigError, match=r"taken out by hand: of audits a$"):
        without(flow, {"audits": ["a"]}, {})


def test_a_dry_run_says_what_would_be_missing(here, capsys):
    main(["add", *RIGHT, *own(labeler="tiny"), "--dry-run"])
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing  ")]
    assert [line.split()[1] for line in said][:1] == ["datasets.birds.root"]
    assert any("models.mine.name is 'local-dir:e'" in line for line in said)
    # What the command itself writes is not missing then.
    assert not any("audit check" in line or "label,description" in line for line in said)


def test_a_folder_of_classes_has_splits_drawn(here):
    own = [word for key in OWN for word in (f"--{key}", OWN[key])]
    own[own.index("mine")] = "tiny"
    main(["add", "birds-tiny", "--dataset", "birds", "--model", "tiny", "--val-share", "0.2", *own])
    assert load_params().dataset("birds").splits == {"train": 0.8, "val": 0.2}
