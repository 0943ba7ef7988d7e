"""Text embeddings that are kept from run to run."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from pipeline import layout
from pipeline.artifacts.resume import kept
from pipeline.embeddings.kept_texts import FILE, kept_texts
from pipeline.embeddings.texts import class_texts
from pipeline.models.catalog import Clip, load_clip, text_embeddings
from tests.recipes.results import workspace, write_model

MANY = [[f"a photo of a {number}", f"a drawing of a {number}"] for number in range(150)]
FEW = MANY[:10]


@pytest.fixture
def clip():
    with workspace():
        write_model(layout.model("tiny"))
        yield load_clip(layout.model("tiny"))


def never() -> torch.Tensor:
    raise AssertionError("embedded again")


def made(clip: Clip, prompts: list[list[str]]) -> torch.Tensor:
    return kept_texts(clip, prompts, partial(class_texts, prompts, partial(text_embeddings, clip)))


def files() -> list[Path]:
    return sorted(layout.kept_texts("").rglob("*.parquet"))


def test_what_was_embedded_once_comes_back_bit_for_bit(clip):
    first = made(clip, MANY)
    assert torch.equal(kept_texts(clip, MANY, never), first)
    assert torch.equal(first, class_texts(MANY, partial(text_embeddings, clip)))


@pytest.mark.parametrize("change", ["prompts", "order", "model", "tokenizer", "threads"])
def test_what_may_give_other_bits_is_embedded_anew(clip, change, monkeypatch):
    prompts = MANY
    made(clip, prompts)
    if change == "prompts":
        prompts = [*MANY, ["one more"]]
    elif change == "order":
        prompts = MANY[::-1]
    elif change == "model":
        shutil.rmtree(clip.folder)
        write_model(clip.folder, layers=2)
        clip = load_clip(layout.model("tiny"))
    elif change == "tokenizer":
        (clip.folder / "tokenizer.json").write_text("{}")
    else:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with pytest.raises(AssertionError, match="embedded again"):
        kept_texts(clip, prompts, never)
    made(clip, prompts)
    assert len(files()) == 2


def test_few_prompts_leave_nothing(clip):
    made(clip, FEW)
    assert files() == []


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda content: b""])
def test_a_damaged_file_is_made_anew(clip, damage):
    first = made(clip, MANY)
    (file,) = files()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert torch.equal(made(clip, MANY), first)
    assert file.read_bytes() == whole


def test_a_changed_byte_is_seen(clip):
    made(clip, MANY)
    (file,) = files()
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    assert kept_texts(clip, MANY, lambda: torch.zeros(1, 1)).shape == (1, 1)


def test_an_experiment_finds_what_the_repository_has(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    made(clip, MANY)
    assert [path.name for path in tmp_path.rglob("*.parquet")] == [FILE]
    assert files() == []


def test_it_is_listed_among_what_is_kept_beside_dvc(clip):
    made(clip, MANY)
    (work,) = kept()
    assert work.path.parent == layout.kept_texts("")
    assert work.size == files()[0].stat().st_size


def test_another_model_of_the_same_folder_is_told_by_its_device(clip):
    made(clip, MANY)
    there = replace(clip, model=torch.nn.Linear(1, 1, device="meta"))
    with pytest.raises(AssertionError, match="embedded again"):
        kept_texts(there, MANY, never)
