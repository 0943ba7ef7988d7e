"""Images, classes, prompts and artifacts that cannot be explained are named."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from audits.explain import __main__ as command
from pipeline import layout
from pipeline.artifacts.store import write_json, write_table
from tests.audits.explain.invented import COMPONENTS


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
        ("cut.png", "cut.png cannot be used: corrupt: "),
        ("text.jpg", "text.jpg cannot be used: not an image that Pillow"),
        ("gone.png", "gone.png cannot be read: No such file"),
        ("raw", "raw cannot be read: Is a directory"),
    ):
        assert reason in refused(capsys, "--image", file, "--class", "n01")


def test_a_class_that_is_not_there_is_refused_with_what_is_like_it(audited, capsys):
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "Ship")
    assert "dataset zoo has no class 'Ship', perhaps 'n03' (ship); its 3 classes are in" in said


def test_an_image_whose_name_is_not_utf8_is_explained(audited, capsys):
    odd = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    shutil.copy("raw/n01/0.png", odd)
    command.main(["--audit", "a", "--image", odd, "--class", "n01", "--html", "page.html"])
    for text in (capsys.readouterr().out, Path("page.html").read_text(encoding="utf-8")):
        assert "caf\\xe9.png" in text
        text.encode()


def test_a_prompt_that_the_model_would_not_read_whole_is_refused(audited, capsys):
    image = ("--image", "raw/n01/0.png")
    assert "takes up all 8 tokens" in refused(capsys, *image, "--prompt", "a b c d e f g h")
    assert "a prompt is empty" in refused(capsys, *image, "--prompt", "  ")


@pytest.mark.parametrize(
    "path",
    [
        layout.labels("a"),
        layout.sae("a") / "config.json",
        layout.head("e") / "model.json",
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
    path = layout.head("e") / "model.json"
    about = json.loads(path.read_text())
    write_json(path, about | {"weights_sha256": "0" * 64})
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert "data/models/m holds other weights" in said
    write_json(path, about)
    write_table(layout.labels("a"), pd.read_parquet(layout.labels("a")).iloc[:-1])
    said = refused(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    assert f"names {COMPONENTS - 1} components" in said
