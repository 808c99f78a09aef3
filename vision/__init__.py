"""Vision: classification, and the data, weights and labels that its tasks share."""
