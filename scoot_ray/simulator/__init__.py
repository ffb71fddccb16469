"""A model of a vLLM service: it answers to the same parameters for the same reasons. Every figure of it is simulated.

``hardware``, ``models`` and ``settings`` say what is simulated; ``memory`` and ``cost`` what a step takes of memory and
time; ``scheduler`` who is served when, over ``blocks`` and ``sequences``; ``boot`` starts an ``engine``, which
``virtual`` drives from event to event and ``server`` in real time. ``fitted`` is a machine by measurement.
"""
