"""Sample datasets that are rendered from a seed, with failures planted whose truth is known."""
