"""Stage `probe`: what in the audited model answers to writing."""
