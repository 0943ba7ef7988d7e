"""Reading an audit's artifacts: rows of the same image stay together."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from audits.inputs import Inputs, align, class_index, load_inputs
from pipeline import layout
from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import vector_column, write_json, write_table
from pipeline.attribution.relevance import Codes
from pipeline.config import AuditConfig, Params
from pipeline.sae import files
from pipeline.sae.codes import codes_table
from pipeline.sae.model import Sae


def params() -> Params:
    audit = AuditConfig.model_construct(dataset="invented", model="m", embeddings="e")
    return Params.model_construct(audits={"a": audit})


def write(inputs: Inputs, coded: np.ndarray) -> None:
    """Write the artifacts below the current directory, codes with the ids `coded`."""
    manifest = layout.manifest("invented")
    # The manifest stands in another order than the embeddings.
    write_table(manifest / "manifest.parquet", inputs.images.sort_values("path", ascending=False))
    write_json(manifest / "classes.json", inputs.classes.to_dict("records"))
    ids = inputs.images["image_id"].to_numpy()
    x = {"image_id": ids, "x": vector_column(inputs.x.numpy())}
    write_shard(layout.embeddings("e"), 0, pa.table(x))
    write_shard(layout.codes("a"), 0, codes_table(coded, inputs.codes))
    sae = Sae(*inputs.atoms.shape, 4)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.bias.copy_(inputs.bias)
    files.save(sae, layout.sae("a"), {})
    head = inputs.head
    layout.head("e").mkdir(parents=True)
    save_file(
        {"gamma": head.gamma, "beta": head.beta, "w_proj": head.w_proj},
        layout.head("e") / "head.safetensors",
    )
    write_json(layout.head("e") / "model.json", {"eps": head.eps})
    forms = [form for form in inputs.texts for _ in range(len(inputs.classes))]
    t = torch.cat(list(inputs.texts.values())).numpy()
    labels = inputs.classes["label"].tolist() * len(inputs.texts)
    columns = {"form": forms, "label": labels, "t": vector_column(t)}
    write_table(layout.texts("a"), pa.table(columns))


def in_half(codes: Codes) -> list:
    return codes.activation.half().float().tolist()


def test_what_was_written_comes_back_aligned(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(inputs, inputs.images["image_id"].to_numpy())
    read = load_inputs(params(), "a")
    assert read.images["image_id"].tolist() == inputs.images["image_id"].tolist()
    assert read.images["label"].tolist() == inputs.images["label"].tolist()
    assert list(read.images.index) == list(range(len(inputs.images)))
    assert torch.equal(read.x[:], inputs.x)
    assert torch.equal(read.atoms, inputs.atoms)
    assert torch.equal(read.bias, inputs.bias)
    assert torch.equal(read.head.w_proj, inputs.head.w_proj)
    assert read.head.eps == inputs.head.eps
    assert read.classes["short"].tolist() == inputs.classes["short"].tolist()
    assert {form: t.tolist() for form, t in read.texts.items()} == {
        form: t.tolist() for form, t in inputs.texts.items()
    }
    # Empty slots move behind the active ones, which keep their order.
    for component, activation, before, strength in zip(
        read.codes.component[:].tolist(),
        read.codes.activation[:].tolist(),
        inputs.codes.component.tolist(),
        in_half(inputs.codes),
        strict=True,
    ):
        active = [(j, a) for j, a in zip(before, strength, strict=True) if a > 0]
        filled = active + [(0, 0.0)] * (4 - len(active))
        assert list(zip(component, activation, strict=True)) == filled


def test_codes_of_other_images_are_refused(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(inputs, inputs.images["image_id"].to_numpy()[::-1])
    with pytest.raises(ValueError, match="codes and embeddings of a are of different images"):
        load_inputs(params(), "a")


def test_a_missing_artifact_is_named(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(inputs, inputs.images["image_id"].to_numpy())
    layout.texts("a").unlink()
    with pytest.raises(FileNotFoundError, match=r"texts/a\.parquet"):
        load_inputs(params(), "a")


def test_align_takes_the_order_of_the_embeddings():
    manifest = pd.DataFrame({"image_id": ["a", "b", "c"], "label": ["x", None, "y"]})
    found = align(manifest, np.array(["c", "a"], dtype=object))
    assert found.to_dict("list") == {"image_id": ["c", "a"], "label": ["y", "x"]}
    assert list(found.index) == [0, 1]
    with pytest.raises(ValueError, match="'d'"):
        align(manifest, np.array(["c", "d"], dtype=object))


def test_class_index_of_known_unknown_and_absent_labels():
    labels = pd.Series(["y", None, "x", "z", "y"])
    assert class_index(labels, pd.Series(["x", "y"])).tolist() == [1, -1, 0, -1, 1]


def test_splits_are_masks(inputs):
    assert int(inputs.split("train").sum()) == 180
    assert inputs.split("test").tolist() == [False] * 270
    assert inputs.class_index[[0, 89, 90, 269]].tolist() == [0, 0, 1, 2]
