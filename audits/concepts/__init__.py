"""Stage `concepts`: components that matter but that no term of the vocabulary describes."""
