"""Runnable examples, one for each task: python -m vision.examples.<name> --help."""
