"""A stand-in for SGLang: the real one's flags (``tests/recorded``), endpoints and manners, on the fake vLLM."""

__version__ = "0.5.10+fake"
