"""Numbers and lists in plain words."""

import pytest

from audits.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0%"),
        (1 - 0.9, "10%"),
        (0.0612, "6.1%"),
        (0.0005, "0.1%"),
        (0.0004, "under 0.1%"),
        (0.625, "62%"),
        (0.997, "99%"),
        (1.0, "100%"),
        (-0.2, "-20%"),
    ],
)
def test_percent(value: float, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.345, "12.3"),
        (123456.0, "123,456"),
        (3e-7, "3.0e-07"),
        (float("nan"), "n/a"),
        (None, "n/a"),
    ],
)
def test_decimal(value: float | None, text: str) -> None:
    assert wording.decimal(value) == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a, b"], "a, b"), (["a", "b, c"], "a and b, c"), (["a", "b", "c"], "a, b and c")],
)
def test_listed(parts: list[str], text: str) -> None:
    assert wording.listed(parts) == text


def test_cell_keeps_a_table_whole() -> None:
    assert wording.cell("a|b <i>\n*c*") == "a\\|b &lt;i> \\*c\\*"


@pytest.mark.parametrize(
    ("mode", "shows", "said"),
    [
        ("polysemy", "cricket bat", "cricket bat"),
        ("unclear", "", "other things"),
        ("typography", "shirt", "writing in the picture"),
        ("typography", "", "writing in the picture"),
    ],
)
def test_what_a_class_also_answers_to(mode: str, shows: str, said: str) -> None:
    assert wording.also(mode, shows) == said
