"""A stand-in for TensorRT-LLM: the real one's flags (``tests/recorded``), endpoints and manners, on the fake vLLM."""

__version__ = "1.3.0+fake"
