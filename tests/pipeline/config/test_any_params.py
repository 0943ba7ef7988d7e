"""Whatever stands in params.yaml, it loads or the message names the file and the key."""

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ConfigError, Params, load_params

ROOT = Path(__file__).parents[3]
SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

VALUES = st.one_of(
    st.sampled_from(
        (None, True, "", "auto", "0", "1e3", "null", [], {}, [None], {"a": {}}, "a\0b", "\ud7ff")
    ),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.lists(st.floats(), max_size=3),
    st.dictionaries(st.one_of(st.text(max_size=3), st.integers(), st.none()), st.none()),
)


def places(tree: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Keys to everything in a tree."""
    pairs = enumerate(tree) if isinstance(tree, list) else tree.items()
    found = []
    for key, value in pairs:
        found.append((*where, key))
        if isinstance(value, list | dict):
            found += places(value, (*where, key))
    return found


@st.composite
def changed(draw: st.DrawFn) -> tuple[Any, tuple[Any, ...]]:
    """The shipped params with one thing of another kind, gone or renamed; and its keys."""
    raw = deepcopy(SHIPPED)
    *parents, last = draw(st.sampled_from(places(SHIPPED)))
    holder = raw
    for key in parents:
        holder = holder[key]
    how = draw(st.sampled_from(("value", "value", "gone", "name")))
    if how == "value" or isinstance(holder, list):
        holder[last] = draw(VALUES)
    else:
        value = holder.pop(last)
        if how == "name":
            holder[draw(st.one_of(st.text(max_size=4), st.integers(), st.none()))] = value
    return raw, (*parents, last)


def loaded(text: str | bytes) -> Params | str:
    """The params of a text, or what is said of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        try:
            return load_params(path)
        except ConfigError as error:
            assert str(path) in str(error)
            return str(error)


@pytest.mark.slow
@given(changed())
def test_any_change_loads_or_is_named(change: tuple[Any, tuple[Any, ...]]) -> None:
    raw, keys = change
    said = loaded(yaml.dump(raw, Dumper=yaml.CSafeDumper))
    if isinstance(said, str):
        # Of a whole that contradicts itself, the message may begin with another part.
        assert any(str(key) in said for key in keys), said


@pytest.mark.slow
@given(
    st.one_of(
        st.binary(max_size=40),
        st.text(max_size=40),
        st.text("[]{}:&*!<-'\" \n#|>%@`", max_size=12),
    )
)
def test_any_text_is_refused_with_the_file_s_name(text: str | bytes) -> None:
    assert isinstance(loaded(text), str)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1000,
        "[" * 1000 + "]" * 1000,
        "!!python/object/apply:os.system ['true']",
        "--- a\n--- b\n",
        "- a",
        "1",
    ],
)
def test_what_yaml_has_in_store(text: str) -> None:
    assert isinstance(loaded(text), str)


def test_a_folder_called_params_is_named(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        load_params(tmp_path / "params.yaml")
