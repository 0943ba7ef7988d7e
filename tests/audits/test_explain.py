"""The explanation of one image: held to a literal re-run and to the audit's cached artifacts."""

import hashlib
import json
import re
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from audits.explain import __main__ as command
from audits.explain.effects import outputs
from audits.inputs import load_inputs
from audits.reference import class_relevance, reference
from pipeline import layout
from pipeline.attribution import cosine_outputs, decode, unit
from pipeline.config import (
    AuditConfig,
    DatasetConfig,
    EmbedConfig,
    ModelConfig,
    Params,
    ReportConfig,
)
from pipeline.embed import embed_audit, write_head
from pipeline.encode import codes_table
from pipeline.models.catalog import load_clip, text_embeddings
from pipeline.sae import files
from pipeline.sae.model import Sae
from pipeline.store import read_embeddings, vector_column, write_json, write_shard, write_table

CLASSES = [
    {"label": "n01", "name": "bat, flying mammal", "short": "bat"},
    {"label": "n02", "name": "<b>, a tag", "short": "<b>"},
    {"label": "n03", "name": "ship, large vessel", "short": "ship"},
]
IMAGES = 12
COMPONENTS, K = 14, 5
HALF = 1e-3
"""Relative precision of stored codes, twice that of half precision."""
EMBED = EmbedConfig(
    batch_size=5, workers=0, shard_rows=8, dtype="float32", device="cpu", precision="float32"
)


def params() -> Params:
    audit = AuditConfig.model_construct(
        dataset="zoo", model="m", report=ReportConfig(gallery=3, thumbnail=16)
    )
    zoo = DatasetConfig.model_construct(root=Path("raw"))
    threads = torch.get_num_threads()
    return Params.model_construct(
        seed=0, threads=threads, audits={"a": audit}, datasets={"zoo": zoo}
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory, clip_folder):
    """A folder with an audit of random images."""
    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        _build(clip_folder)
    return folder


@pytest.fixture
def audited(built, tmp_path, monkeypatch):
    """A copy of it as the current directory."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "load_params", params)
    return tmp_path


def _build(clip_folder: Path) -> None:
    shutil.copytree(clip_folder, layout.model("m"))
    clip = load_clip(layout.model("m"))
    manifest = _images()
    folder = layout.manifest("zoo")
    write_table(folder / "manifest.parquet", manifest)
    write_json(
        folder / "dataset.json", {"name": "zoo", "fingerprint": "0123" * 16, "classes": CLASSES}
    )
    ran = embed_audit(clip, manifest, Path("raw"), EMBED, layout.embeddings("a"), "embed")
    config = ModelConfig(name="local-dir:data/models/m", note="Trained on <nothing>.")
    write_head(layout.head("a"), clip, ran, "m", config, "float32")
    t = text_embeddings(clip, [entry["short"] for entry in CLASSES])
    labels = [entry["label"] for entry in CLASSES]
    texts = {"form": ["short"] * 3, "label": labels, "t": vector_column(t.numpy())}
    write_table(layout.texts("a"), pa.table(texts))
    found = read_embeddings(layout.embeddings("a"), "x")
    x = torch.from_numpy(found.values)
    sae = _sae(x)
    files.save(sae, layout.sae("a"), {})
    codes = sae.encode(x)
    write_shard(layout.codes("a"), 0, codes_table(found.image_ids, codes))
    _labels(found.image_ids.tolist(), codes.component.numpy())
    _, classes = reference(load_inputs(params(), "a"))
    write_table(layout.reference("a") / "classes.parquet", classes)


def _sae(x: torch.Tensor) -> Sae:
    """Random unit atoms, the encoder their transpose, the bias the mean of x."""
    atoms = unit(torch.randn(COMPONENTS, x.shape[1], generator=torch.Generator().manual_seed(4)))
    bias = x.mean(dim=0)
    sae = Sae(COMPONENTS, x.shape[1], K)
    tensors = {"atoms": atoms, "bias": bias, "encoder_weight": atoms, "encoder_bias": -atoms @ bias}
    sae.load_state_dict(tensors)
    return sae.requires_grad_(False)


def _images() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rows = []
    for index in range(IMAGES):
        label = CLASSES[index % 3]["label"]
        path = Path(f"{label}/{index}.png")
        (Path("raw") / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (36, 48, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(Path("raw") / path)
        sha256 = hashlib.sha256((Path("raw") / path).read_bytes()).hexdigest()
        split = "train" if index < 9 else "val"
        rows.append((f"id{index}", path.as_posix(), split, label, sha256))
    return pd.DataFrame(rows, columns=["image_id", "path", "split", "label", "sha256"])


def _labels(image_ids: list[str], component: np.ndarray) -> None:
    """Names of all components but one; one of those active on image 10 is part of a finding."""
    numbers = np.arange(COMPONENTS)
    unnamed = component[10, 1]
    names = pd.Series([f"thing {j} <i>" for j in numbers], dtype="string")
    labels = pd.DataFrame({"component": numbers, "label": names, "kind": None})
    labels["alignment"] = labels["clarity"] = 0.5
    labels["top_images"] = [[image_ids[j % 9], image_ids[(j + 1) % 9]] for j in numbers]
    labels.loc[unnamed, ["label", "alignment", "clarity"]] = None
    labels.at[unnamed, "top_images"] = []
    write_table(layout.labels("a"), labels)
    best, part = int(component[10, 0]), int(component[10, 2])
    findings = pd.DataFrame({"finding_id": [f"n02-{best}"], "class": ["n02"], "component": [best]})
    findings["mode"], findings["confirmed"], findings["stability"] = "polysemy", True, None
    stability = pd.DataFrame({"component": numbers[::-1], "stability": float("nan")})
    write_table(layout.audit("a", "stability") / "components.parquet", stability)
    folder = layout.audit("a", "review")
    write_table(folder / "findings.csv", findings)
    write_json(folder / "evidence.json", {f"n02-{best}": {"components": [best, part]}})


def explained(capsys, *arguments: str) -> dict:
    """The JSON that the command prints."""
    command.main(["--audit", "a", "--json", *arguments])
    return json.loads(capsys.readouterr().out)


def test_an_image_of_the_dataset_has_the_numbers_of_the_cached_artifacts(audited, capsys):
    found = explained(capsys, "--image", "raw/n02/10.png", "--class", "n01", "--class", "n03")
    assert found["image"]["in_dataset"] == {"image_id": "id10", "split": "val", "label": "n02"}
    inputs = load_inputs(params(), "a")
    row = inputs.images["image_id"].tolist().index("id10")
    y = cosine_outputs(inputs.x[row, None], inputs.texts["short"], inputs.head)[0]
    for position, explanation in zip((0, 2), found["explanations"], strict=True):
        assert explanation["y"] == pytest.approx(float(y[position]), abs=1e-6)
        t = inputs.texts["short"][position]
        cached = class_relevance(inputs, torch.tensor([row]), t)[0].tolist()
        slots = inputs.codes.component[row].tolist()
        activation = dict(zip(slots, inputs.codes.activation[row].tolist(), strict=True))
        relevance = dict(zip(slots, cached, strict=True))
        here = {c["component"]: c for c in explanation["components"]}
        assert set(here) == set(slots)
        for j in slots:
            assert here[j]["activation"] == pytest.approx(activation[j], rel=HALF)
            assert here[j]["relevance"] == pytest.approx(relevance[j], rel=HALF, abs=1e-6)
    usual = inputs.split("train") & (inputs.class_index == 2)
    own = cosine_outputs(inputs.x[usual], inputs.texts["short"][2, None], inputs.head)
    assert found["explanations"][1]["usual"]["y_mean"] == pytest.approx(float(own.mean()), abs=1e-5)
    assert found["explanations"][1]["usual"]["images"] == 3
    scores = {score["class"]: score["y"] for score in found["class_scores"]}
    assert scores == pytest.approx({c["label"]: float(v) for c, v in zip(CLASSES, y, strict=True)})
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_effects_are_those_of_a_literal_re_run(inputs, head):
    sae = Sae(*inputs.atoms.shape, 6)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_weight.copy_(inputs.atoms)
        sae.bias.copy_(inputs.bias)
    sae.requires_grad_(False)
    for row, prompt in ((0, 1), (95, 0), (200, 2)):
        x, t = inputs.x[row], inputs.texts["short"][prompt]
        found = outputs(x, t, head, sae)
        codes = sae.encode(x[None])

        def y_of(vector, t=t):
            return float(cosine_outputs(vector[None], t[None], head)[0, 0])

        assert found.y == pytest.approx(y_of(x), abs=1e-6)
        assert found.unexplained == pytest.approx(
            y_of(x) - y_of(sae.reconstruct(codes)[0]), abs=1e-6
        )
        assert found.y_components_off == pytest.approx(
            y_of(x - decode(codes, sae.atoms)[0]), abs=1e-6
        )
        assert {e.component for e in found.effects} == set(codes.component[0].tolist())
        for effect in found.effects:
            left = y_of(x - effect.activation * sae.atoms[effect.component])
            assert effect.effect == pytest.approx(y_of(x) - left, abs=1e-6)
            assert effect.share == pytest.approx(effect.effect / abs(found.y))


def test_sides_are_ordered_by_the_exact_effect(inputs, head):
    sae = Sae(*inputs.atoms.shape, 8)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_weight.copy_(inputs.atoms)
    found = outputs(inputs.x[3], inputs.texts["short"][1], head, sae.requires_grad_(False))
    effects = [effect.effect for effect in found.effects]
    assert len(effects) == 8
    assert effects == sorted(effects, reverse=True)
    supporting, opposing = found.supporting(9), found.opposing(9)
    assert supporting and opposing
    assert [*supporting, *reversed(opposing)] == list(found.effects)
    assert found.supporting(1) == [max(found.effects, key=lambda e: e.effect)]
    assert found.opposing(1) == [min(found.effects, key=lambda e: e.effect)]


def test_relevance_is_the_effect_where_a_component_hardly_acts(inputs, head):
    sae = Sae(*inputs.atoms.shape, 2)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_bias[[4, 7]] = torch.tensor([1e-3, 2e-3])
    found = outputs(inputs.x[0], inputs.texts["short"][0], head, sae.requires_grad_(False))
    assert sorted(e.component for e in found.effects) == [4, 7]
    for effect in found.effects:
        assert effect.relevance == pytest.approx(effect.effect, rel=0.01)


def test_an_image_without_an_active_component_has_no_effects(inputs, head):
    sae = Sae(*inputs.atoms.shape, 3)
    with torch.no_grad():
        sae.encoder_bias.fill_(-1.0)
        sae.bias.copy_(inputs.bias)
    found = outputs(inputs.x[0], inputs.texts["short"][0], head, sae.requires_grad_(False))
    assert found.effects == ()
    assert found.y == found.y_components_off != found.y_reconstruction
    assert found.supporting(2) == found.opposing(2) == []


def test_an_output_of_zero_has_no_shares(inputs, head):
    sae = Sae(*inputs.atoms.shape, 3)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_weight.copy_(inputs.atoms)
    t = unit(torch.randn(18, generator=torch.Generator().manual_seed(1)))
    found = outputs(inputs.x[0], torch.zeros_like(t), head, sae.requires_grad_(False))
    assert found.y == 0
    assert [effect.share for effect in found.effects] == [None] * 3


def test_any_image_and_any_prompt_will_do(audited, capsys):
    Image.effect_noise((200, 31), 60).save("mine.webp")
    found = explained(capsys, "--image", "mine.webp", "--prompt", "a photo", "--prompt", "bat")
    assert found["image"]["in_dataset"] is None
    assert [e["prompt"] for e in found["explanations"]] == ["a photo", "bat"]
    assert [e["class"] for e in found["explanations"]] == [None, None]
    assert {f["of_class"] for e in found["explanations"] for c in e["components"]
            for f in c["findings"]} <= {False}  # fmt: skip
    by_class = explained(capsys, "--image", "mine.webp", "--class", "n01")["explanations"][0]
    assert by_class["prompt"] == "bat"
    assert found["explanations"][1]["y"] == pytest.approx(by_class["y"], abs=1e-6)


def test_components_carry_what_the_audit_knows_of_them(audited, capsys):
    found = explained(capsys, "--image", "raw/n02/10.png", "--class", "n02")["explanations"][0]
    inputs = load_inputs(params(), "a")
    row = inputs.images["image_id"].tolist().index("id10")
    best, unnamed, part, *others = inputs.codes.component[row].tolist()
    here = {c["component"]: c for c in found["components"]}
    for j in (best, part):
        assert here[j]["label"] == f"thing {j} <i>"
        assert here[j]["findings"] == [
            {
                "finding_id": f"n02-{best}",
                "class": "n02",
                "mode": "polysemy",
                "confirmed": True,
                "of_class": True,
            }
        ]
    assert here[unnamed]["label"] is here[unnamed]["alignment"] is None
    assert here[unnamed]["top_images"] == []
    assert all(here[j]["findings"] == [] for j in (unnamed, *others))
    assert {c["stability"] for c in found["components"]} == {None}


def test_stability_is_shown_once_it_is_measured(audited, capsys):
    path = layout.audit("a", "stability") / "components.parquet"
    table = pd.read_parquet(path)
    write_table(path, table.assign(stability=table["component"] / 100))
    found = explained(capsys, "--image", "raw/n01/0.png", "--class", "n01")["explanations"][0]
    for component in found["components"]:
        assert component["stability"] == pytest.approx(component["component"] / 100)


def test_the_table_has_a_line_for_each_component(audited, capsys):
    command.main(["--audit", "a", "--image", "raw/n02/10.png", "--class", "n02", "--top", "2"])
    text = capsys.readouterr().out
    found = explained(capsys, "--image", "raw/n02/10.png", "--class", "n02")["explanations"][0]
    assert "id10 of the dataset's val set, labelled <b>" in text
    assert f"prompt “<b>”: output y = {found['y']:.4f}" in text
    lines = re.findall(r"^(for|against) +(\d+) .*?([+-]0\.\d{4}) ", text, re.MULTILINE)
    for side, sign in (("for", 1), ("against", -1)):
        ranked = sorted(found["components"], key=lambda c: -sign * c["effect"])
        expected = [c for c in ranked if sign * c["effect"] > 0][:2]
        assert [(int(j), effect) for name, j, effect in lines if name == side] == [
            (c["component"], f"{c['effect']:+.4f}") for c in expected
        ]
    assert "not measured" in text


def test_the_page_is_self_contained_and_escapes_what_it_is_given(audited, capsys):
    prompt = "<script>"
    arguments = ["--audit", "a", "--image", "raw/n02/10.png", "--html", "pages/one.html"]
    command.main([*arguments, "--prompt", prompt])
    assert "wrote pages/one.html" in capsys.readouterr().err
    html = Path("pages/one.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert prompt in unescape(html)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert "thing" in html and "<i>" not in html.replace('<i style="', "")
    command.main([*arguments, "--class", "n02", "--top", "9"])
    html = Path("pages/one.html").read_text(encoding="utf-8")
    assert "Known to this audit." in html
    assert "the model sees the square in its middle" not in html  # this one squashes
    assert "Trained on &lt;nothing&gt;." in html
    assert html.count('alt="labelled ') == 2 * (K - 1)
    assert html.count("no train image") == 1


def refused(capsys, *arguments: str) -> str:
    """The one line that the command ends with."""
    with pytest.raises(SystemExit) as stopped:
        command.main(["--audit", "a", *arguments])
    assert isinstance(stopped.value.code, str)  # Python prints it and exits with 1
    assert capsys.readouterr().out == ""
    return stopped.value.code


def test_a_file_that_is_no_whole_image_is_refused(audited, capsys):
    content = Path("raw/n01/0.png").read_bytes()
    Path("cut.png").write_bytes(content[: len(content) // 2])
    Path("text.jpg").write_text("no image")
    for file, reason in (
        ("cut.png", "cut.png cannot be read as an image"),
        ("text.jpg", "text.jpg cannot be read as an image: it is of no format"),
        ("gone.png", "gone.png cannot be read: No such file"),
        ("raw", "raw cannot be read: Is a directory"),
    ):
        assert reason in refused(capsys, "--image", file, "--class", "n01")


def test_a_class_that_is_not_there_is_refused_with_what_is_like_it(audited, capsys):
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "Ship")
    assert "dataset zoo has no class 'Ship', perhaps 'n03' (ship); its 3 classes are in" in said


def test_a_prompt_that_the_model_would_not_read_whole_is_refused(audited, capsys):
    image = ("--image", "raw/n01/0.png")
    assert "takes up all 8 tokens" in refused(capsys, *image, "--prompt", "a b c d e f g h")
    assert "a prompt is empty" in refused(capsys, *image, "--prompt", "  ")


@pytest.mark.parametrize(
    "path",
    [
        layout.labels("a"),
        layout.sae("a") / "config.json",
        layout.head("a") / "model.json",
        layout.texts("a"),
        layout.reference("a") / "classes.parquet",
        layout.audit("a", "review") / "findings.csv",
        layout.audit("a", "stability") / "components.parquet",
        layout.manifest("zoo") / "dataset.json",
    ],
)
def test_a_missing_artifact_is_named(audited, capsys, path):
    path.unlink()
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert str(path) in said and "dvc repro" in said


def test_a_missing_model_is_named(audited, capsys):
    shutil.rmtree(layout.model("m"))
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert "data/models/m does not exist" in said


def test_a_damaged_sae_is_named(audited, capsys):
    path = layout.sae("a") / "sae.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert "data/saes/a is damaged" in said and "dvc repro" in said


def test_a_model_or_labels_of_another_audit_are_refused(audited, capsys):
    path = layout.head("a") / "model.json"
    about = json.loads(path.read_text())
    write_json(path, about | {"weights_sha256": "0" * 64})
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert "data/models/m holds other weights" in said
    write_json(path, about)
    write_table(layout.labels("a"), pd.read_parquet(layout.labels("a")).iloc[:-1])
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert f"names {COMPONENTS - 1} components" in said


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--help"])
    assert stopped.value.code == 0
    assert "python -m audits.explain --audit scenes-tiny --image" in capsys.readouterr().out


@pytest.mark.parametrize("asked", [[], ["--prompt", "a", "--class", "b"]])
def test_exactly_one_of_prompt_and_class_is_asked_for(asked, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(["--audit", "a", "--image", "x.png", *asked])
    assert stopped.value.code == 2
