"""What can be known before anything costly runs: stages that stop with all that is missing."""
