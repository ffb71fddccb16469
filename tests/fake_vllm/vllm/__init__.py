"""A stand-in for vLLM in miniature: same commands, endpoints, log lines and manners, no model. See README of tests/."""

__version__ = "0.32.0+fake"
