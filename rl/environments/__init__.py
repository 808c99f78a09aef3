"""Environments: by name, many at once, with exact states, and their pictures."""
