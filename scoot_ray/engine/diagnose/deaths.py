"""How engines say that they are dead, whatever it was of: the one list, for the diagnosis and the watch over a start.

The process that serves may hang for long after such a line. Lines that say more, such as an exit code, are rules of the
table (``Rule.dead``), since they may be all the evidence there is.
"""

from __future__ import annotations

HOLLOW = (
    r"Engine core initialization failed(?!.*:[ ]-\d)",
    r"(?:EngineCore|WorkerProc|Engine process) failed to start",
    r"WorkerProc initialization failed",
    r"EngineDeadError",
    r"Background loop (?:has errored|is stopped)",
)
"""Lines that follow from a cause stated before, and say nothing of it."""
