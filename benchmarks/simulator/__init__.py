"""The simulator against real engines."""
