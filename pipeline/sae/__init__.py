"""Sparse autoencoders on class tokens."""
