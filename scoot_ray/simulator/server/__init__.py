"""A simulated engine in real time: an OpenAI-compatible streaming server that starts, serves and dies as vLLM does.

``arguments`` reads its command line, ``driver`` runs the engines by the clock, ``app`` has the routes over ``api``
(what is asked) and ``answers`` (what is said). Run it with ``python -m scoot_ray.simulator.server``.
"""
