"""The explanation of one image: what speaks for a prompt in it, and what against."""
