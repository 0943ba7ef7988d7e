"""Audits of a CLIP model on cached embeddings and codes, their report and its publication."""
