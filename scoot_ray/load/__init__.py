"""Replays a trace against an OpenAI-compatible server and measures what comes back.

Reads as a pipeline: ``formats`` reads a trace, ``selection`` keeps what fits the model, ``arrivals`` says when and
``prompts`` what is sent, ``plan`` encodes it up front in the engine's ``dialect``, ``warmup`` and ``replay`` send it
through ``client`` (``stream``, ``sse`` and ``answer`` read what comes back), ``fleet`` replays with several processes,
``audit`` judges the generator itself, ``metrics`` turns records into figures. ``measure`` runs all of it; ``command``
is the ``replay`` verb. Nothing here knows Ray, engines or the search.
"""
