"""What a caller of this package can get wrong.

::

    ValueError
    └── LoadError          a workload, target or option that cannot be replayed
        └── TraceError     a trace file that cannot be read, with file and line
"""

from __future__ import annotations


class LoadError(ValueError):
    """A load that cannot be generated; the message is one line for the user."""


class TraceError(LoadError):
    """A trace that cannot be read: ``file:line: field: reason; allowed …``."""
