"""One request and its answer: where to, in whose dialect, read from the stream, by a precise loop."""
