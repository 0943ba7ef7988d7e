"""open_clip models: loading, what may be audited, and the head after the last block."""
