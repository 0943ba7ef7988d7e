"""Faithfulness of the attribution: deletion and insertion curves."""

from typing import Any

from audits.report import charts, wording
from audits.report.sources import Sources


def faithfulness(sources: Sources) -> list[dict[str, Any]]:
    """Chart and areas of each protocol that was measured."""
    protocols = []
    for protocol, (title, better) in wording.PROTOCOLS.items():
        table = sources.faithfulness[sources.faithfulness["protocol"] == protocol]
        if table.empty:
            continue
        curves = []
        for method, name in wording.METHODS.items():
            curve = table[table["method"] == method].sort_values("step")
            if len(curve):
                # Without a standard error there is no band.
                known = curve.fillna({"sem": 0.0})
                columns = (tuple(map(float, known[key])) for key in ("step", "y", "sem"))
                curves.append(charts.Line(name, *columns))
        figures = sources.metrics["faithfulness"][protocol]
        dropped = sources.metrics["faithfulness"]["error_dropped"][protocol]
        order = min if better.startswith("lower") else max
        protocols.append(
            {
                "title": title,
                "better": better,
                "chart": charts.lines(curves, f"{title}: mean output y", "components switched", 3),
                "auc": {method: figures[method] for method in wording.METHODS if method in figures},
                "dropped": {method: dropped[method]["auc"] for method in dropped},
                "best": order(figures, key=lambda method: figures[method]["auc"]),
            }
        )
    return protocols
