"""A seeded world to try everything on."""
