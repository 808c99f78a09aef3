"""Layers of sound: front ends that turn waveforms into spectrograms, and what keeps padding out of results."""
