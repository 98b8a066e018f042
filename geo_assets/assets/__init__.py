"""What exists: asset factories."""
