"""How often each finding is found again by dictionaries that share nothing."""
