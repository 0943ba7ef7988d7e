"""Stages that turn a dataset and a CLIP model into embeddings, sparse codes and labels."""
