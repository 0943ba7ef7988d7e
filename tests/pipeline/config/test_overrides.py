"""params.yaml as DVC edits it: `dvc exp run -S KEY=VALUE` changes that key and no other."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides

from audits.command.__main__ import main
from pipeline.config import ConfigError, load_params

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with the shipped catalog.yaml and params.yaml; the latter's path."""
    for name in ("params.yaml", "catalog.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params.yaml"


def leaves(tree: Any, at: str = "") -> dict[str, Any]:
    if isinstance(tree, dict) and tree:
        parts = [leaves(part, f"{at}.{key}" if at else key) for key, part in tree.items()]
        return {key: value for part in parts for key, value in part.items()}
    return {at: tree}


def read(path: Path) -> dict[str, Any]:
    return leaves(yaml.safe_load(path.read_text(encoding="utf-8")))


def assert_each_leaf_is_its_own(path: Path) -> None:
    """Every leaf is given another value, in one go: shared ones could not all have theirs."""
    wanted = {key: f"v{number}" for number, key in enumerate(read(path))}
    apply_overrides(path, [f"{key}={value}" for key, value in wanted.items()])
    assert read(path) == wanted


def test_every_leaf_of_the_shipped_file_can_be_set_alone(here):
    assert {"audits.scenes-tiny.report.gallery", "embeddings.scenes-tiny.batch_size"} <= read(
        here
    ).keys()
    assert_each_leaf_is_its_own(here)


def test_every_leaf_can_be_set_alone_after_further_audits_of_the_same_dataset_and_model(here):
    main(["add", "scenes-b", "--dataset", "scenes", "--model", "tiny"])
    main(["add", "b32", "--dataset", "imagenet", "--model", "vit-b-32-laion400m"])
    main(["add", "isic_b32", "--dataset", "isic", "--model", "vit-b-32-laion400m"])
    assert_each_leaf_is_its_own(here)


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("audits.scenes-tiny.report.gallery=4", "audits.scenes-tiny.report.gallery", 4),
        ("audits.scenes-b.failures.z=4.5", "audits.scenes-b.failures.z", 4.5),
        ("audits.scenes-b.sae.learning_rate=1e-5", "audits.scenes-b.sae.learning_rate", 1e-5),
        (
            "audits.lesions-tiny.sae.decay_after=[2,3]",
            "audits.lesions-tiny.sae.decay_after",
            [2, 3],
        ),
        ("datasets.scenes.licence=null", "datasets.scenes.licence", None),
        ("audits.scenes-b.shortcut=null", "audits.scenes-b.shortcut", None),
        ("seed=7", "seed", 7),
    ],
)
def test_one_override_changes_one_value_and_the_file_still_loads(here, override, key, value):
    main(["add", "scenes-b", "--dataset", "scenes", "--model", "tiny"])
    before = load_params().model_dump(mode="json")
    apply_overrides(here, [override])
    after = load_params().model_dump(mode="json")
    old, new = leaves(before), leaves(after)
    assert new[key] == value
    assert {name for name in new if new[name] != old.get(name)} <= {key}
    # An audit can be added to the file as DVC leaves it.
    main(["add", "scenes-c", "--dataset", "scenes", "--model", "tiny"])
    assert load_params().model_dump(mode="json")["audits"].keys() == {*after["audits"], "scenes-c"}


def test_names_that_dvc_could_not_set_are_refused(here):
    with pytest.raises(InvalidArgumentError):
        apply_overrides(here, ["audits.2nd.seed=1"])
    with pytest.raises(SystemExit, match=r"audits.2nd.*is '2nd'.* a name is a letter a-z"):
        main(["add", "2nd", "--dataset", "scenes", "--model", "tiny"])


def test_a_key_that_is_not_there_is_an_error_of_dvc(here):
    with pytest.raises(InvalidArgumentError):
        apply_overrides(here, ["audits.scenes-tiny.report.galery=4"])


def with_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label: {top_images: 20}", "label: &label {top_images: 20}"),
        (
            "audits:\n  scenes-tiny:\n",
            "defaults: &all\n  dataset: scenes\naudits:\n  scenes-tiny:\n    <<: *all\n",
        ),
        ("    report: {gallery: 8", "    report: {<<: {thumbnail: 96}, gallery: 8"),
    ],
)
def test_shared_values_are_refused_with_their_lines(here, old, new):
    with_text(here, old, new)
    text = here.read_text(encoding="utf-8").splitlines()
    line = next(number for number, line in enumerate(text, 1) if "&" in line or "<<: {" in line)
    with pytest.raises(ConfigError, match=rf"params\.yaml, lines {line}\b.*write each value out"):
        load_params()


def test_a_key_that_stands_twice_is_refused(here):
    with_text(
        here, "    report: {gallery", "    report: {gallery: 9, thumbnail: 5}\n    report: {gallery"
    )
    with pytest.raises(
        ConfigError, match=r"line \d+: audits.scenes-tiny.report stands in line \d+"
    ):
        load_params()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("      devices: 1\n", "audits.scenes-tiny.sae the line\n  devices: 1"),
        (
            "    stability: {seeds: 3, cosine: 0.7}\n",
            "audits.scenes-tiny the line\n  stability: {seeds: 3, cosine: 0.7}",
        ),
        ("    every: 1\n", "datasets.scenes the line\n  every: 1"),
    ],
)
def test_a_missing_key_says_the_line_to_add_and_with_it_the_file_loads(here, line, said):
    with_text(here, line, "")
    with pytest.raises(ConfigError, match="is missing") as caught:
        load_params()
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize("section", ["engine", "gate", "verify"])
def test_a_missing_section_says_the_line_to_add_and_with_it_the_file_loads(here, section):
    raw = yaml.safe_load(here.read_text(encoding="utf-8"))
    del raw[section]
    here.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"key {section} is missing: add the line\n") as caught:
        load_params()
    line = str(caught.value).partition("\n  ")[2]
    here.write_text(yaml.safe_dump(raw) + line, encoding="utf-8")
    assert getattr(load_params(), section)


def test_a_key_that_an_item_of_a_list_lacks_is_named_by_its_number(here):
    with_text(here, "    - {metric: robustness.both.spurious_auc, ", "    - {")
    with pytest.raises(ConfigError, match=r"gate.metrics.1.metric is missing$"):
        load_params()


def test_the_line_for_a_missing_key_is_the_catalogs_for_that_dataset(here):
    main(["add", "b32", "--dataset", "imagenet", "--model", "vit-b-32-laion400m"])
    with_text(here, "      components: 30000\n", "")
    with pytest.raises(ConfigError, match=r"audits.b32.sae the line\n  components: 30000$"):
        load_params()
    (here.parent / "catalog.yaml").unlink()
    with pytest.raises(ConfigError, match=r"audits.b32.sae.components is missing$"):
        load_params()


def test_a_section_that_is_switched_on_is_told_its_lines(here):
    main(["add", "scenes-b", "--dataset", "scenes", "--model", "tiny"])
    raw = yaml.safe_load(here.read_text(encoding="utf-8"))
    raw["audits"]["scenes-b"]["shortcut"] = {"positive": ["square"]}
    here.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_params(here)
    said, where = str(caught.value), "add to audits.scenes-b.shortcut the line"
    own = "\n  This is the catalog's for isic2019: set what fits this dataset\n"
    assert f"shortcut.negative is missing: {where}\n  negative: null{own}" in said
    plain = f"shortcut.quantiles is missing: {where}\n  quantiles: [0.4, 0.975]\n{here.name}: "
    assert plain in said.replace(str(here), here.name)
    given = {}
    for line in said.splitlines():
        if line.startswith("  ") and not line.startswith("  This"):
            given |= yaml.safe_load(line)
    raw["audits"]["scenes-b"]["shortcut"] |= given
    here.write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert load_params(here).audits["scenes-b"].shortcut is not None
