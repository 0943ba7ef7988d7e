"""Whether a GPU gives the CPU's results, and how near its limit it works."""
