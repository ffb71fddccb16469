"""scoot-ray: find the best serving parameters of an LLM inference engine, and prove them."""

__version__ = "0.1.0"
