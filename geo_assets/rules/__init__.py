"""Pure functions that find defects in data and say where."""
