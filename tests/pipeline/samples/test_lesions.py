"""The sample dataset "lesions": layout, plants, determinism, and that plants are visible."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.samples.lesion_camera import photograph, window
from pipeline.samples.lesion_captions import captions
from pipeline.samples.lesion_drawing import HALF_WIDTH, draw_canvas
from pipeline.samples.lesion_paint import absorb, blend
from pipeline.samples.lesion_plan import Case, deal, plan
from pipeline.samples.lesions import DIAGNOSES, LesionsConfig, metadata, rates, render, truth

SIZE = 40
SETTINGS = {
    "lesions": 9,
    "image_size": SIZE,
    "shares": {"MEL": 0.3, "NV": 0.4, "BCC": 0.1, "BKL": 0.2},
    "separation": 2.0,
    "red_skin_melanoma": 0.05,
    "red_skin_other": 0.4,
    "patches_melanoma": 0.02,
    "patches_other": 0.3,
}
CONFIG = LesionsConfig.model_validate(SETTINGS)
VOCABULARY = Path(__file__).parents[3] / "vocabularies" / "dermoscopy.csv"


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return plan(rates(CONFIG), 600, seed=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lesions")
    render(folder, CONFIG, seed=5, workers=1)
    return folder


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_layout_is_that_of_isic_2019(root: Path) -> None:
    truth_table = pd.read_csv(root / "ISIC_2019_Training_GroundTruth.csv")
    assert DIAGNOSES == ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    assert list(truth_table.columns) == ["image", *DIAGNOSES]
    assert (truth_table.drop(columns="image").sum(axis=1) == 1).all()
    assert "1.0" in (root / "ISIC_2019_Training_GroundTruth.csv").read_text().split("\n")[1]
    table = pd.read_csv(root / "ISIC_2019_Training_Metadata.csv")
    assert list(table.columns) == ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    names = sorted(path.stem for path in (root / "ISIC_2019_Training_Input").glob("*.jpg"))
    assert names == list(truth_table["image"]) == list(table["image"])
    with Image.open(root / "ISIC_2019_Training_Input" / f"{names[0]}.jpg") as image:
        assert image.size == (SIZE, SIZE)
        assert image.mode == "RGB"


def test_tables_beside_the_images(root: Path) -> None:
    captioned = pd.read_csv(root / "captions.csv")
    assert (captioned.groupby("path").size() == 2).all()
    assert all((root / path).is_file() for path in captioned["path"])
    images = list((root / "ISIC_2019_Training_Input").iterdir())
    assert captioned["path"].nunique() == len(images)
    assert set(pd.read_csv(root / "classes.csv")["label"]) == {"MEL", "NV", "BCC", "BKL"}
    planted = pd.read_csv(root / "truth.csv")
    assert list(planted.columns) == ["image_id", "plant", "class", "mode"]
    assert set(planted["image_id"]) <= {path.stem for path in images}
    assert "CC0" in (root / "LICENSE.txt").read_text()


def test_same_bytes_whatever_the_number_of_workers(root: Path, tmp_path: Path) -> None:
    render(tmp_path, CONFIG, seed=5, workers=2)
    assert contents(tmp_path) == contents(root)


def test_another_seed_gives_other_images(root: Path, tmp_path: Path) -> None:
    render(tmp_path, CONFIG, seed=6, workers=1)
    assert not set(contents(tmp_path).values()) & {
        data for name, data in contents(root).items() if name.endswith(".jpg")
    }


def test_deal_gives_every_key_its_share() -> None:
    dealt = deal({"a": 0.5, "b": 0.3, "c": 0.2}, 10, np.random.default_rng(0))
    assert Counter(dealt) == {"a": 5, "b": 3, "c": 2}
    assert dealt != sorted(dealt)


def test_shortcuts_are_planted_where_configured(cases: list[Case]) -> None:
    for is_melanoma, red, patches in ((True, 0.05, 0.02), (False, 0.4, 0.3)):
        some = [case for case in cases if (case.diagnosis == "MEL") == is_melanoma]
        assert np.mean([case.lesion.flush > 0 for case in some]) == pytest.approx(red, abs=0.06)
        carried = [bool(case.shots[0].view.patches) for case in some]
        assert np.mean(carried) == pytest.approx(patches, abs=0.06)


def test_truth_lists_exactly_what_images_carry(cases: list[Case]) -> None:
    listed = truth(cases)
    assert not listed.duplicated().any()
    assert set(listed["class"]) == {"MEL"}
    assert set(listed["mode"]) == {"shortcut"}
    rows = set(zip(listed["image_id"], listed["plant"], strict=True))
    for case in cases:
        for shot in case.shots:
            assert ((shot.image_id, "red-hue") in rows) == (case.lesion.flush > 0)
            assert ((shot.image_id, "patches") in rows) == bool(shot.view.patches)


def test_image_ids_are_unique_and_tell_nothing(cases: list[Case]) -> None:
    numbered = {int(shot.image_id[5:]): case for case in cases for shot in case.shots}
    assert sorted(numbered) == list(range(1, sum(len(case.shots) for case in cases) + 1))
    assert 1.45 < len(numbered) / len(cases) < 1.6
    first_half = [numbered[number].diagnosis == "MEL" for number in range(1, len(numbered) // 2)]
    assert np.mean(first_half) == pytest.approx(0.3, abs=0.06)


def test_only_lesions_with_one_photograph_lack_an_id(cases: list[Case]) -> None:
    table = metadata(cases)
    for column in ("age_approx", "anatom_site_general", "lesion_id", "sex"):
        assert 0 < table[column].isna().mean() < 0.1
    assert all(case.lesion_id for case in cases if len(case.shots) > 1)
    assert table["lesion_id"].nunique() == sum(case.lesion_id is not None for case in cases)


def test_lesion_features_overlap(cases: list[Case]) -> None:
    values = {
        diagnosis: [case.lesion.irregularity for case in cases if case.diagnosis == diagnosis]
        for diagnosis in ("MEL", "NV")
    }
    assert np.mean(values["MEL"]) > np.mean(values["NV"]) + 0.1
    assert np.quantile(values["MEL"], 0.1) < np.quantile(values["NV"], 0.9)


def test_captions_use_every_term_of_the_vocabulary_and_kinds_are_known(cases: list[Case]) -> None:
    vocabulary = pd.read_csv(VOCABULARY)
    assert set(vocabulary["kind"]) == {"lesion", "context"}
    written = "\n".join(
        text for case in cases for shot in case.shots for text in captions(case, shot)
    )
    assert [term for term in vocabulary["term"] if term not in written] == []


def test_captions_say_what_is_shown(cases: list[Case]) -> None:
    mentions = []
    for case in cases:
        for shot in case.shots:
            for caption in captions(case, shot):
                assert ("patches" not in caption) or shot.view.patches
                assert ("veil" not in caption) or case.lesion.veil > 0
                red = "red skin" in caption or "pink skin" in caption
                assert not red or case.lesion.flush > 0
                assert ("melanoma" not in caption) or case.diagnosis == "MEL"
                if case.lesion.flush > 0:
                    mentions.append(red)
    assert 0.3 < np.mean(mentions) < 0.7


def test_red_skin_is_red(cases: list[Case]) -> None:
    """The same lesion, flushed and not: only the skin's tint differs, and plainly."""
    view = replace(cases[0].shots[0].view, patches=(), dark_corners=False, ruler=False, bubbles=0)
    for case in cases[:6]:
        ratios = []
        for flush in (0.0, 0.5, 1.0):
            canvas = draw_canvas(replace(case.lesion, flush=flush, hairs=0), SIZE)
            picture = photograph(canvas, view, SIZE).astype(float)
            rim = np.concatenate([picture[:4].reshape(-1, 3), picture[-4:].reshape(-1, 3)])
            ratios.append(rim[:, 0].mean() / rim[:, 1].mean())
        assert ratios[1] > 1.12 * ratios[0]
        assert ratios[2] > 1.12 * ratios[1]


def test_patches_are_plain_to_see_and_leave_the_rest(cases: list[Case]) -> None:
    canvas = draw_canvas(cases[0].lesion, SIZE)
    bare = replace(cases[0].shots[0].view, patches=(), dark_corners=False, ruler=False, bubbles=0)
    with_blue = photograph(canvas, replace(bare, patches=("blue",)), SIZE).astype(float)
    blue = with_blue[..., 2] > 1.5 * with_blue[..., 0]
    assert 0.02 < blue.mean() < 0.25
    edge = np.concatenate([blue[0], blue[-1], blue[:, 0], blue[:, -1]])
    assert edge.any()
    without = photograph(canvas, bare, SIZE).astype(float)
    assert not (without[..., 2] > 1.5 * without[..., 0]).any()


def test_window_shows_the_middle_of_the_canvas_and_follows_shift_and_angle() -> None:
    size, image = 90, 50
    assert size == HALF_WIDTH * image  # one canvas pixel is one pixel of the photograph
    canvas = np.random.default_rng(1).random((size, size, 3), dtype=np.float32)
    view = replace(plan(rates(CONFIG), 1, seed=1)[0].shots[0].view, angle=0.0, zoom=1.0)
    straight = window(canvas, replace(view, shift=(0.0, 0.0)), image)
    np.testing.assert_allclose(straight, canvas[20:70, 20:70], atol=1e-5)
    moved = window(canvas, replace(view, shift=(0.2, 0.0)), image)  # 0.2 half-widths: 5 pixels
    np.testing.assert_allclose(moved[:, 5:], straight[:, :-5], atol=1e-5)
    turned = window(canvas, replace(view, shift=(0.0, 0.0), angle=np.pi / 2), image)
    np.testing.assert_allclose(turned, np.rot90(straight, 1), atol=1e-4)


def test_photographs_of_a_lesion_show_the_same_skin(cases: list[Case]) -> None:
    several = [case for case in cases if len(case.shots) == 3 and case.lesion.hairs == 0][:12]
    tones = []
    for case in several:
        canvas = draw_canvas(case.lesion, SIZE)
        bare = [replace(shot.view, patches=(), dark_corners=False) for shot in case.shots]
        shown = [photograph(canvas, view, SIZE) for view in bare]
        tones.append([np.median(picture.reshape(-1, 3), axis=0) for picture in shown])
    within = np.std(tones, axis=1).mean()
    between = np.std(np.mean(tones, axis=1), axis=0).mean()
    assert within < 0.6 * between


def test_paint() -> None:
    picture = np.full((2, 3, 3), 0.5, dtype=np.float32)
    opacity = np.array([[0, 0.5, 1], [0, 0, 0]], dtype=np.float32)
    painted = blend(picture, (1.0, 0.5, 0.0), opacity)
    np.testing.assert_allclose(painted[0, 1], [0.75, 0.5, 0.25])
    np.testing.assert_allclose(painted[0, 2], [1, 0.5, 0])
    np.testing.assert_allclose(painted[1], picture[1])
    seen = absorb(picture, (0.0, 1.0, 2.0), opacity)
    np.testing.assert_allclose(seen[0, 2], 0.5 * np.exp([0, -1, -2]), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hue": 0.3}, "hue"),
        ({"shares": {"MEL": 0.5, "NV": 0.5}}, "must name MEL, NV, BCC and BKL"),
        ({"shares": {"MEL": 0.5, "NV": 0.5, "BCC": 0.5, "BKL": 0.0}}, "sum to 1"),
        ({"red_skin_other": 1.2}, "red_skin_other"),
        ({"lesions": 0}, "lesions"),
    ],
)
def test_impossible_settings_raise(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LesionsConfig.model_validate(SETTINGS | change)
