"""What each section of a report shows, made from the audit's tables and metrics."""
