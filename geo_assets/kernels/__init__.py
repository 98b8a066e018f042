"""Pure functions that do a chunk: local files and plain values in and out."""
