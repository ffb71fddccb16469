"""Replays a trace against an OpenAI-compatible server and measures what comes back.

Reads as a pipeline: ``formats`` reads a trace, ``selection`` keeps what fits the model, ``arrivals`` says when and
``prompts`` what is sent, ``plan`` encodes it up front, ``warmup`` and ``replay`` send it through ``client``, by several
processes (``fleet``) where one is not enough; ``audit`` judges the generator itself, ``figures`` makes figures of the
records. ``measure`` runs all of it, ``command`` is the ``replay`` verb. ``capacity`` looks for the highest rate that
holds SLOs, ``traces`` says what a trace is like and makes others of it. Nothing here knows Ray or how engines are
started; of the search only what an SLO is.
"""
