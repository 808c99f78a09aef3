"""Memories of transitions, from which off-policy algorithms draw their batches."""
