"""Text classification: models, task and catalogue."""
