"""Runnable examples, one for each task: python -m nlp.examples.<name> --help."""
