"""Every tuner on simulated services: which finds how much of what there is to gain, in how many observations.

    python -m benchmarks.search run --out runs/search
    python -m benchmarks.search report runs/search

Every figure is simulated. ``services`` says what is tuned, ``evaluation`` what a configuration does there, ``cell``
runs one tuner on one service in virtual time, ``judgement`` says what it found without noise, ``best_known`` what there
was to find, ``campaign`` runs it all on all cores, ``score`` and ``statistics`` compare, ``report``, ``tables`` and
``figures`` show.
"""
