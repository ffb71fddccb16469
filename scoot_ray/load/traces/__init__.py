"""What a trace is like, and others made from it: the ``trace`` verbs."""
