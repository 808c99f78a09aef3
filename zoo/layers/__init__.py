"""Building blocks that models of several papers share."""
