"""Runnable examples of the audio domain."""
