"""What an audit has found, in the formats of other tools."""
