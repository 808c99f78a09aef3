"""Object detection: boxes around things, with the class of each."""
