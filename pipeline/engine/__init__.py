"""Where units of work that need nothing of each other are done: here, or on a Ray cluster."""
