"""Data of the audio domain: sound files to bundles of clips."""
