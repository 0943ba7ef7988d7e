"""Embeddings: images and texts through a model, into Parquet."""
