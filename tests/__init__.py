"""Tests compute as stages do: this is imported before the libraries that it settles."""

import pipeline  # noqa: F401
