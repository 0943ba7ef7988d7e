"""What differs between two reports of an audit, and what could explain it."""
