"""Where in an image a component fires: the part of its activation that each patch brings."""
