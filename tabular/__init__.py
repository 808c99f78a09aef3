"""Tables: classification, regression, recommendation. Its catalogue is empty so far."""
