"""What the costly stages make of tiny inputs, on record: see recipes.yaml."""
