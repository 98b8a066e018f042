"""What must hold: asset check factories."""
