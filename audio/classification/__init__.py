"""Sound classification: one class for each clip."""
