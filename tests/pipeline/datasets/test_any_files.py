"""Whatever lies in a folder of images is a row of the manifest or left out with a reason."""

import hashlib
import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.datasets.image_folder import image_id_of
from pipeline.datasets.names import is_passed_over
from pipeline.datasets.opening import Image, _open
from pipeline.datasets.pixels import Reading, decode
from pipeline.datasets.prepare import prepare
from tests.pipeline.datasets.any_files import contents
from tests.pipeline.datasets.test_adapters import folder_config
from tests.pipeline.datasets.test_manifest import draw as draw_image

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of formats Pillow drops


@pytest.mark.slow
@given(content=contents(), how=st.sampled_from(("shown", "stored")))
def test_any_bytes_are_a_picture_or_have_a_reason(content: bytes, how: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.jpg").write_bytes(content)
        opened = _open(Path(folder), Reading(how), Image("x.jpg"))
    assert opened is not None
    assert opened.sha256 == hashlib.sha256(content).hexdigest()
    if opened.fault is None:
        assert opened.width >= 1 <= opened.height
        whole = decode(content, Reading(how))
        assert whole.size == (opened.width, opened.height)
        assert decode(content, Reading(how)).rgb.tobytes() == whole.rgb.tobytes()
        assert decode(content, Reading(how), 4).rgb.mode == "RGB"
    else:
        assert opened.fault.strip() and opened.fault.isprintable()
        assert " at 0x" not in opened.fault  # an address differs from run to run
        assert (opened.width, opened.height, opened.perceptual) == (0, 0, None)


NAMES = st.text(
    st.one_of(
        st.characters(codec="utf-8", exclude_characters="/\0"), st.sampled_from("#.%&'\" ;,\\\n")
    ),
    min_size=1,
    max_size=12,
).filter(lambda name: name.strip() and name not in (".", ".."))
SUFFIXES = ("", ".jpg", ".PNG", ".tif", ".txt", ".csv", ".jpg.png", ".tar", ".parquet#1")


@st.composite
def folders(draw: st.DrawFn) -> dict[str, bytes | None]:
    """Names below a class folder, and what they hold; None is a folder."""
    held = st.one_of(contents(), st.none())
    names = st.tuples(NAMES, st.sampled_from(SUFFIXES)).map("".join)
    return draw(st.dictionaries(names, held, max_size=5))


@pytest.mark.slow
@given(held=folders())
def test_nothing_in_a_folder_is_lost_without_a_word(held: dict[str, bytes | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder) / "raw", Path(folder) / "out"
        for path, shade in (("train/bat/0", 1), ("train/dog/0", 2), ("val/bat/0", 3)):
            draw_image(root / f"{path}.png", shade)
        draw_image(root / "val/dog/0.png", 4)
        for name, content in held.items():
            path = root / "train/bat" / name
            if content is None:
                path.mkdir(exist_ok=True)
            elif not path.exists():
                path.write_bytes(content)
        files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
        prepare("any", folder_config(root, max_excluded=1.0), 0, out, workers=1)
        rows = set(pd.read_parquet(out / "manifest.parquet")["path"])
        left = json.loads((out / "dataset.json").read_text(encoding="utf-8"))["excluded"]
        doubles = set(pd.read_csv(out / "duplicates.csv", dtype=str).to_numpy().ravel())
    assert rows <= files
    assert all(entry["reason"] for entry in left)
    said = rows | {entry["path"] for entry in left}
    lost = {path for path in files - said if not is_passed_over(Path(path).name)}
    assert {image_id_of(path) for path in lost} <= doubles
