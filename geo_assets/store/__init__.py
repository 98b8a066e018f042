"""Versions of artifacts in a folder or bucket, published by one atomic commit."""
