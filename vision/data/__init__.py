"""Images from disk to batches: fast reading, transforms, folders, tables and arrays."""
