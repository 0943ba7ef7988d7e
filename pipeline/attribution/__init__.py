"""Exact relevance of components, without autograd: the model's head, and what flows through it."""
