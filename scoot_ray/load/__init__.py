"""Replays a trace against an OpenAI-compatible server and measures what comes back.

Reads as a pipeline: ``formats`` reads a trace, ``selection`` keeps what fits the model, ``arrivals`` says when and
``prompts`` what is sent, ``plan`` encodes it up front, ``warmup`` and ``replay`` send it through ``client``, ``audit``
judges the generator itself, ``metrics`` turns records into figures and ``intervals`` says how far to trust them;
``server_metrics`` asks the engine meanwhile and ``bottleneck`` says what held it back. ``measure`` runs all of it;
``command`` is the ``replay`` verb, with ``outputs``, ``tables`` and ``progress`` for its reader. ``capacity`` decides
which rate to try next, ``probing`` tries it, ``capacity_command`` is the verb. For the ``trace`` verbs ``census`` says
what a trace is like (``charts`` shows it), ``transform`` cuts, samples and scales, ``anonymize`` takes out what is
private, ``shape`` and ``synthesis`` make another one like it. Nothing here knows Ray or how engines are started; of
the search only what an SLO is.
"""
