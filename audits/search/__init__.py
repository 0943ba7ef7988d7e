"""A look through an audit's components: which answer to a text or an image most, and least."""
