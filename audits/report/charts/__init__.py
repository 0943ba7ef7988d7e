"""Charts as inline SVG: no script, no asset, the same bytes for the same numbers."""

from audits.report.charts.counts import Bin, bars, cloud, course, histogram
from audits.report.charts.values import Interval, Line, Row, axis_start, intervals, lines

__all__ = [
    "Bin",
    "Interval",
    "Line",
    "Row",
    "axis_start",
    "bars",
    "cloud",
    "course",
    "histogram",
    "intervals",
    "lines",
]
