"""Translation and other sequence-to-sequence problems."""
