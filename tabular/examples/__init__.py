"""Runnable examples, one for each task: python -m tabular.examples.<name> --help."""
