"""Audits of a CLIP model on cached embeddings and codes, their report and its publication."""

import pipeline  # noqa: F401  (it settles how libraries compute, before they are loaded)
