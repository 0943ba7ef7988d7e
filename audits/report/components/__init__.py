"""The page to look through an audit's components."""
