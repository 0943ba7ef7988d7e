"""Stage `shortcut`: what a linear classifier on image embeddings leans on."""
