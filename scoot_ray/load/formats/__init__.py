"""Reads traces of many origins, told apart by their content alone.

``source`` reads the file once, in bounded memory; ``records`` turns it into rows and their places (JSON lines, CSV,
a JSON array); one module per family turns rows into requests; ``detect`` chooses among them; ``reader`` runs it all
and counts what is broken. ``traces/README.md`` has the table of formats.
"""

from scoot_ray.load.formats.reader import ReadOptions, TraceReader, read_trace

__all__ = ["ReadOptions", "TraceReader", "read_trace"]
