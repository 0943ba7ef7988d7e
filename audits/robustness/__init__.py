"""Stage `robustness`: how well a class is told from its distractors, by prompt form."""
