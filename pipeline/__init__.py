"""Stages that turn a dataset and a CLIP model into embeddings, sparse codes and labels."""

from pipeline.processor import settle

settle()  # before a module of this package loads a library that it concerns
