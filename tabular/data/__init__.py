"""Tables from disk to batches: reading, inferring the columns, encoding them, and telling what was found."""
