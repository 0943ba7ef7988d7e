"""The report of an audit: one page to read, the same facts in short, numbers and provenance."""
