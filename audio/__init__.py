"""Sound: classification and recognition. Its catalogue is empty so far."""
