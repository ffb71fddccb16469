"""Records to figures, how far to trust them, what held the engine back, and how people and tools are shown it."""
