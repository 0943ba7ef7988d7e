"""Columns of the tables that the audit writes."""

from pipeline.config import COVERED


def _ends(*names: str) -> list[str]:
    """Of estimates, each with its interval of 95 %."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


COLUMNS = {
    "components": [
        *("component", "label", "kind", "verdict", "rank", "place", "suspect", "called", "share"),
        *("mean_relevance", "mean_activation", "imbalance", "colour", "colour_statistic"),
        *("answer", "answer_shift", "acquisition", "acquisition_column", *COVERED, "images"),
        "top_images",
    ],
    "shifts": [
        *("remedy", "shift", "kind", "strength", "beyond", "in_range", "side"),
        *_ends("accuracy", "drop", "alone"),
        *("proven", "fragile"),
    ],
    "remedies": [
        *("remedy", "setting"),
        *_ends("plain", "shifted", "drop", "relief", "other_side_drop", "balanced", "price"),
        *(*_ends("price_matched", "auroc"), "share", "other_drop", "other_shift"),
        *("recommended", "recommended_matched"),
    ],
    "sweep": ["remedy", "setting", *_ends("drop"), "worst_drop", *_ends("price", "price_matched")],
    "subgroups": ["column", "group", "side", "images", *_ends("accuracy")],
    "calibration": ["predicted", "observed"],
}
"""Table → columns, the same where there is nothing to say."""
