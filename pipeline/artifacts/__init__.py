"""Files that stages leave: written whole, resumed after a kill, and what they say of gaps."""
