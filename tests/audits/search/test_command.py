"""`audit concepts` on an audit of random images."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from audits.command import concepts
from audits.command.__main__ import main
from pipeline import layout
from pipeline.artifacts.store import vector_column, write_table
from pipeline.attribution.head import project, unit
from pipeline.config import LabelConfig
from pipeline.embeddings.vectors import read_embeddings, vector_table, write_vectors
from pipeline.models.catalog import load_clip, text_embeddings
from pipeline.models.files import read_head
from tests.audits.explain.conftest import built  # noqa: F401
from tests.audits.explain.invented import COMPONENTS, params


@pytest.fixture
def audited(built, tmp_path, monkeypatch):  # noqa: F811
    """The audit as the current directory, with its own model for a labeler."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    found = read_embeddings(layout.embeddings("e"), "x")
    z = project(torch.from_numpy(found.values), read_head(layout.head("e"))).numpy()
    folder = layout.concepts_embeddings("zoo")
    write_vectors(folder, 0, [vector_table(found.image_ids.tolist(), {"z": z})])
    t = text_embeddings(load_clip(layout.model("m")), ["", "bat"])
    terms = {"term": ["", "bat"], "kind": pa.nulls(2, pa.string()), "t": vector_column(t.numpy())}
    write_table(folder / "vocabulary.parquet", pa.table(terms))
    made = params()
    audit = made.audits["a"].model_copy(update={"label": LabelConfig(top_images=2)})
    zoo = made.datasets["zoo"].model_copy(update={"labeler": "m"})
    changed = made.model_copy(update={"audits": {"a": audit}, "datasets": {"zoo": zoo}})
    monkeypatch.setattr(concepts, "load_params", lambda: changed)
    return t, dict(zip(found.image_ids, unit(torch.from_numpy(z)), strict=True))


def answers(capsys, *arguments: str) -> list[dict]:
    main(["concepts", "a", "--json", *arguments])
    return json.loads(capsys.readouterr().out)["answers"]


def test_a_text_finds_components_by_what_their_images_show(audited, capsys):
    (empty, t), z = audited
    labels = pd.read_parquet(layout.labels("a")).set_index("component")
    (found,) = answers(capsys, "--prompt", "bat", "--top", "3")
    tops = {j: ids for j, ids in labels["top_images"].items() if len(ids) == 2}
    expected = {
        j: float(unit(torch.stack([z[i] for i in ids]).mean(dim=0)) @ (t - empty))
        for j, ids in tops.items()
    }
    # Components with the same images differ by rounding only, so scores are compared.
    ranked = sorted(expected.values(), reverse=True)
    assert [c["fit"] for c in found["most"]] == pytest.approx(ranked[:3], abs=1e-5)
    assert [c["fit"] for c in found["least"]] == pytest.approx(ranked[::-1][:3], abs=1e-5)
    assert len({c["component"] for c in found["most"] + found["least"]}) == 6
    for component in found["most"] + found["least"]:
        j = component["component"]
        assert component["fit"] == pytest.approx(expected[j], abs=1e-5)
        assert component["label"] == labels.loc[j, "label"]
        assert component["stability"] is None
        assert component["top_images"][0].startswith("raw/n0")
    assert found["left_out"] == COMPONENTS - len(tops) == 1


def test_an_image_finds_the_components_that_fire_on_it(audited, capsys):
    (found,) = answers(capsys, "--image", "raw/n02/10.png", "--top", "14")
    values = [c["activation"] for c in (*found["most"], *found["least"][::-1])]
    assert len(values) == COMPONENTS
    assert values == sorted(values, reverse=True)
    active = [c["active"] for c in found["most"]]
    assert any(active)
    assert active == sorted(active, reverse=True)
    assert np.isfinite(values).all()


def test_the_table_names_both_ends_of_each_text(audited, capsys):
    main(["concepts", "a", "--prompt", "bat", "--prompt", "a ship", "--top", "2"])
    text = capsys.readouterr().out
    sides = re.findall(r"^ *(most|least) +\d+ ", text, re.MULTILINE)
    assert sides == ["most", "least"] * 2
    assert "1 fire on too few train images to say" in text
    assert "fit: cosine of the text" in text


def test_a_page_shows_the_images_of_both_ends_and_loads_nothing(audited, capsys):
    asked = ["concepts", "a", "--prompt", "bat", "--prompt", "<script>", "--top", "3"]
    main([*asked, "--html", "pages/found.html"])
    printed = capsys.readouterr()
    assert "wrote pages/found.html" in printed.err
    assert "most" in printed.out
    html = Path("pages/found.html").read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    # Three at either end of two texts; their top images are two, or fewer.
    assert html.count("<figure>") == 12
    assert 12 <= html.count('alt="labelled ') <= 24
    assert html.count("1 component fires on too few train images to say.") == 2
    on_page = [int(number) for number in re.findall(r"<b>component (\d+)</b>", html)]
    found = answers(capsys, *asked[2:])
    sides = [answer[side] for answer in found for side in ("most", "least")]
    assert on_page == [one["component"] for side in sides for one in side]
    main(["concepts", "a", "--image", "raw/n02/10.png", "--html", "pages/found.html"])
    html = Path("pages/found.html").read_text(encoding="utf-8")
    assert "activation +" in html and "active ·" in html and "fit" not in html.split("<main>")[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--prompt", " "], "a prompt is empty"),
        (["--image", "gone.png"], "gone.png cannot be read"),
        (["--prompt", "bat", "--top", "0"], "--top 0 is not 1 or more"),
    ],
)
def test_what_a_user_can_put_right_is_one_message(audited, arguments, message):
    with pytest.raises(SystemExit, match=f"audit concepts: .*{message}"):
        main(["concepts", "a", *arguments])
