"""Charts as inline SVG."""

import re

import numpy as np
import pytest

from audits.report import charts


def test_an_auc_of_a_single_finding_has_no_whisker() -> None:
    found = {"valid_auc": 0.9, "valid_low": 0.8, "valid_high": 0.95, "spurious_auc": 0.4}
    assert charts.Interval.of_auc(found, "valid") == charts.Interval(0.9, 0.8, 0.95)
    assert charts.Interval.of_auc(found, "spurious") == charts.Interval(0.4, 0.4, 0.4)


def test_interval_chart_places_values_on_its_axis() -> None:
    rows = [
        charts.Row("a <form>", (charts.Interval(0.5, 0.4, 0.7), charts.Interval(1.0, 1.0, 1.0))),
        charts.Row("b", (charts.Interval(0.75, 0.75, 0.75), None)),
    ]
    svg = charts.intervals(rows, ("valid", "spurious"), "T", charts.axis_start(rows), 500)
    x = [float(value) for value in re.findall(r'<circle cx="([\d.]+)"', svg)]
    edges = [float(value) for value in re.findall(r'<rect x="([\d.]+)"', svg)]
    assert x[1] - x[0] > 20
    assert x[1] - x[0] == pytest.approx((edges[0] + 5 - x[0]) * (0.25 / 0.5), abs=0.2)
    whisker = re.search(r'<line x1="([\d.]+)"[^>]* x2="([\d.]+)"[^>]*stroke="var\(--blue\)"', svg)
    assert whisker is not None
    low, high = (float(end) for end in whisker.groups())
    assert (high - x[0]) == pytest.approx(2 * (x[0] - low), abs=0.4)
    assert max(float(value) for value in re.findall(r' x="([\d.]+)"', svg)) <= 500
    assert 'viewBox="0 0 500 ' in svg
    assert "a &lt;form&gt;" in svg
    assert svg.count("n/a") == 1
    with pytest.raises(ValueError, match="no values"):
        charts.intervals([charts.Row("a", (None,))], ("valid",), "T", 0.5, 500)


def test_line_chart_names_each_curve_apart() -> None:
    curve = charts.Line("one", (0.0, 1.0), (0.2, 0.4), (0.0, 0.0))
    other = charts.Line("two", (0.0, 1.0), (0.2, 0.4), (0.1, 0.1))
    svg = charts.lines([curve, other], "T", "steps")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="label"', svg)]
    assert len(heights) == 2
    assert abs(heights[0] - heights[1]) >= 16
    assert svg.count("<polygon") == 1
    # Three names that all want the top stay inside the drawing.
    svg = charts.lines([curve, curve, curve], "T", "steps")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="label"', svg)]
    assert min(heights) >= 14
    with pytest.raises(ValueError, match="no points"):
        charts.lines([], "T", "steps")


@pytest.mark.parametrize(
    ("name", "end", "width"), [("one", 330, 470), ("x" * 20, 306, 470), ("x" * 40, 193, 507)]
)
def test_line_chart_has_room_for_its_longest_name(name: str, end: int, width: int) -> None:
    curve = charts.Line("two", (0.0, 1.0), (0.2, 0.4), (0.0, 0.0))
    svg = charts.lines([curve, charts.Line(name, curve.x, curve.y, curve.sem)], "T", "steps")
    assert f'viewBox="0 0 {width} 262"' in svg
    assert set(re.findall(r'<line x1="56.0"[^>]* x2="([\d.]+)"', svg)) == {f"{end}.0"}
    assert set(re.findall(r'<text x="([\d.]+)"[^>]* class="label"', svg)) == {f"{end + 14}.0"}


def test_interval_chart_has_room_for_its_longest_name() -> None:
    rows = [charts.Row("x" * 20, (charts.Interval(0.5, 0.4, 0.7),))]
    svg = charts.intervals(rows, ("valid",), "T", 0.4, 470)
    assert '<text x="150.0" y="52.0" class="label" text-anchor="end"' in svg


def test_histogram_stands_on_its_axis() -> None:
    bins = [charts.Bin(-2.0, -1.0, 10), charts.Bin(-1.0, 0.0, 5), charts.Bin(0.0, 2.0, 0)]
    ticks = [(-3, "out"), (-2, "<1%"), (0, "100%")]
    svg = charts.histogram(bins, "T", "rate", ticks, marked=[-1.0, 9.0])
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', svg)
    x, y, width, height = (list(map(float, column)) for column in zip(*bars, strict=True))
    assert height[:2] == [200.0, 100.0]
    assert height[2] == 0
    assert {round(a + b, 1) for a, b in zip(y, height, strict=True)} == {214.0}
    assert x[1] - x[0] == pytest.approx((x[2] - x[0]) / 2, abs=0.2)
    assert width[2] == pytest.approx(2 * width[0] + 1, abs=0.2)
    marks = [float(value) for value in re.findall(r'<line x1="([\d.]+)" y1="215.0"', svg)]
    assert marks == pytest.approx([x[1], 440.0], abs=0.1)
    assert "&lt;1%" in svg and "out" not in svg
    with pytest.raises(ValueError, match="no counts"):
        charts.histogram([charts.Bin(0, 1, 0)], "T", "rate", [])


def test_course_shades_cells_and_ends_in_bars() -> None:
    first = [charts.Bin(-2.0, -1.0, 16), charts.Bin(-1.0, 1.0, 0)]
    last = [charts.Bin(-2.0, -1.0, 4), charts.Bin(-1.0, 1.0, 8)]
    columns = [(4, first), (5, first), (6, last)]
    svg = charts.course(columns, "T", "epoch", [(-3, "out"), (-2, "1%"), (-1, "10%")])
    found = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="([^"]+)"', svg
    )
    x, y, width, height = (list(map(float, row)) for row in list(zip(*found, strict=True))[:4])
    colours = [row[4] for row in found]
    # Two columns of one cell, one of two, and two bars, which have the shades of their cells.
    assert len(found) == 6
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert x[2] == x[3] and x[2] + width[2] == pytest.approx(330, abs=0.1)
    assert y[3] == 14 and y[3] + height[3] == pytest.approx(y[2], abs=0.1)
    assert height[3] == pytest.approx(2 * height[2], abs=0.2)
    assert " 100.0%," in colours[0] and colours[0] == colours[1]
    assert colours[4:] == colours[2:4]
    half = "color-mix(in srgb, var(--blue) 50.0%, var(--paper))"
    assert colours[2] == half, "half way to the page: the root of a quarter"
    assert width[5] == pytest.approx(82, abs=0.1), "the longest bar of the last step is whole"
    assert width[4] == pytest.approx(width[5] / 2, abs=0.1)
    assert max(float(value) for value in re.findall(r'<text x="([\d.]+)"', svg)) < 440
    assert ">8</text>" in svg and ">epoch 6</text>" in svg and "out" not in svg
    assert [text for text in ("4", "5", "6") if f">{text}</text>" in svg] == ["4", "5", "6"]
    with pytest.raises(ValueError, match="no counts"):
        charts.course([(1, [charts.Bin(0, 1, 0)])], "T", "epoch", [])


def test_a_cloud_has_a_cell_where_there_are_points() -> None:
    x, y = np.array([0.0, 0.0, 0.0, 10.0]), np.array([0.0, 0.0, 1.0, 0.5])
    svg = charts.cloud(x, y, "T", ("across", "up"), [(-1, "out"), (5, "five")])
    cells = re.findall(
        r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="([^"]+)"', svg
    )
    (left, low, *_, most), (left_too, high, *_, few), (right, middle, width, height, _) = cells
    assert left == left_too == "56.0"
    assert float(right) + float(width) == pytest.approx(440, abs=0.1)
    # From below: 0 stands on the axis, 1 at the top, a half in the middle.
    assert float(low) + float(height) == pytest.approx(214, abs=0.2) and float(high) == 22
    assert float(middle) < 118 <= float(middle) + float(height) + 0.1
    # Two points in a cell are stronger than one.
    assert "100.0%" in most and "70.7%" in few
    assert ">five</text>" in svg and ">out</text>" not in svg
    assert ">across</text>" in svg and ">up</text>" in svg
    with pytest.raises(ValueError, match="no points"):
        charts.cloud(x[:0], y[:0], "T", ("across", "up"))


def test_a_cloud_shows_what_is_below_zero_and_takes_one_value() -> None:
    same = charts.cloud(np.ones(3), np.array([-0.5, 0.0, 1.0]), "T", ("a", "b"))
    heights = [float(y) for y in re.findall(r'<rect x="56.0" y="([\d.]+)"', same)]
    assert len(heights) == 3 and min(heights) >= 22
    assert ">-0.5</text>" in same


def test_a_bar_is_as_long_as_its_count() -> None:
    svg = charts.bars([("many <b>", 1000), ("few", 250), ("none", 0)], "T")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', svg)]
    assert widths == [270.0, 67.5, 0.0]
    assert "many &lt;b&gt;" in svg and ">1,000</text>" in svg
    with pytest.raises(ValueError, match="no counts"):
        charts.bars([("none", 0)], "T")
