"""Names of components, and how clear they are."""
