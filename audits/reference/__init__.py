"""Stage `reference`: the relevance that each component is expected to have for each class."""
