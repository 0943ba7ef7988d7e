"""Whether a report is good enough to be released."""
