"""A log, line by line -> the lines that state an error. Bounded memory, whatever is in the log.

Not every line with an error in it states one: source lines quoted in tracebacks often name errors that were not raised,
warnings announce what will not happen, and a refused request is the client's affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from scoot_ray.engine.diagnose.deaths import HOLLOW

_LONGEST = 4_000  # characters kept of a line
_CHUNK_BYTES = 1 << 16

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PREFIX = re.compile(
    r"^(?:\((?:[\w:.=-]+ )+pid=\d+[^)]*\) ?|\[rank\d+\]:\s?|\[\d{4}-\d\d-\d\d [\d:]+(?: \w+)*\] |\[[\w/]+\.py:\d+\] )+"
)
_LEVEL = re.compile(
    r"^(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)(?: [\d-]+ [\d:,.]+ (?:\[?(?P<source>[^\]\s]*)\] ?)?|:\s+)"
    r"|(?:\[[\d/:.-]+\] )?\[(?:TRT-LLM|TensorRT-LLM)\] ?(?:\[RANK \d+\] )?\[(?P<short>[A-Z])[A-Z]*\] ?)"
)
_SEVERE = frozenset({"ERROR", "CRITICAL", "E"})
_RAISED = re.compile(
    r"""^(?:[\w.]+\.)?(?:[A-Z]\w*(?:Error|Exception|Failure)|OutOfResources|Exception)(?::[ ]|$|\()
    |^\s+(?:Value[ ]error,|Input[ ]should[ ]be|Extra[ ]inputs[ ]are[ ]not[ ]permitted)[ ]  # pydantic
    |^\S+(?:[ ]serve)?:[ ]error:[ ]                       # argparse
    |^Error:[ ]                                           # click
    |^cannot[ ]start[ ]                                   # our guardian
    |^\S*python[\d.]*:[ ](?:No[ ]module[ ]named|can't[ ]open[ ]file)[ ]   # python -m
    |^terminate[ ]called|^Fatal[ ]Python[ ]error
    """,
    re.VERBOSE,
)
_ANNOUNCED = re.compile(
    r"""^\[E[ \d]|^NCCL[ ]WARN[ ]                          # torch's C++ side, NCCL
    |^/\S*ld:[ ]|^Bus[ ]error|^mpirun[ ]noticed|not[ ]enough[ ]space[ ]for[ ]/dev/shm
    |^\w[\w ]*[ ]\(src/\w+\.cpp:\d+\)$                    # libzmq, before it aborts
    |^!+[ ]Segfault[ ]encountered                          # vLLM's compiled parts
    |^Initialization[ ]failed|[Ww]atchdog[ ]timeout[ ]\(   # SGLang
    """,
    re.VERBOSE,
)
_WRAPPING = r"""
    See[ ]root[ ]cause[ ]above(?!.*:[ ]-\d)
    |[Ss]ee[ ]stack[ ]trace|check[ ]the[ ]stack[ ]trace[ ]above|background[ ]process\.
    |EngineGenerateError|NoneType:[ ]None
    |ValidationError:[ ]\d+[ ]validation|^subprocess\.|ChildFailedError
    |The[ ]above[ ]exception|During[ ]handling[ ]of
    |^(?:[\w.]+\.)?(?:(?:Cancelled|Timeout|Assertion|Runtime)Error|SystemExit)(?::[ ]?\d*)?$
    """
_SAYS_NOTHING = re.compile("|".join((*HOLLOW, f"(?x:{_WRAPPING})")))
_OF_A_REQUEST = re.compile(r"^Exception in (?:ASGI application|callback)")
_REQUEST_SOURCES = re.compile(r"serving\w*\.py|protocol\.py|preprocess\.py")
_FIELD = re.compile(r"^[a-z]\w*(?:\.\w+)*$")
_LOADING = re.compile(r'^\s+File ".*", line \d+, in (load_weights)$')


@dataclass(frozen=True, slots=True)
class Statement:
    """An error that a log states. ``raised``: it ended a traceback or the program; otherwise it was only reported.

    ``number`` counts lines from 1; ``about`` is the field that the line before named, as pydantic's messages do, or
    ``load_weights`` where that function raised it.
    """

    number: int
    text: str
    raised: bool
    about: str = ""

    @property
    def said(self) -> str:
        """What rules look at: the line, and what it is about."""
        return f"{self.text} [{self.about}]" if self.about else self.text


def read_lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a log of any size and encoding; of a line without end only the beginning is kept."""
    while chunk := stream.readline(_CHUNK_BYTES):
        line, complete = chunk, chunk.endswith(b"\n")
        while not complete and (chunk := stream.readline(_CHUNK_BYTES)):
            complete = chunk.endswith(b"\n")
            if b"\r" in chunk:  # a progress bar: what is written last is what stays
                line = line[-_LONGEST:] + chunk
        yield line.decode(errors="replace").rstrip("\r\n")


def statements(lines: Iterable[str]) -> Iterator[Statement]:
    """Yield the errors that ``lines`` state, in their order; those that say nothing are left out."""
    in_request, about = False, ""
    for number, raw in enumerate(lines, 1):
        line = _PREFIX.sub("", _ESCAPES.sub("", raw).rpartition("\r")[2][:_LONGEST])
        level = _LEVEL.match(line)
        text = line[level.end() :] if level else line
        if level:
            in_request = bool(_OF_A_REQUEST.match(text) or _REQUEST_SOURCES.search(level["source"] or ""))
        if not in_request and _states(text, level) and not _SAYS_NOTHING.search(text):
            yield Statement(number, text.strip(), bool(_RAISED.match(text)), about)
        about = _about(text, about)


def _about(text: str, before: str) -> str:
    """What the next statement is about: a field named alone in a line, or the loader of weights up to the error."""
    if found := _LOADING.match(text):
        return found[1]
    if _FIELD.match(text.strip()):
        return text.strip()
    return before if text.startswith(" ") else ""


def _states(text: str, level: re.Match[str] | None) -> bool:
    """Whether a line states an error: it ends a traceback, or was logged as one and quotes no source."""
    if level and (level["level"] or level["short"]) not in _SEVERE:
        return False
    if _RAISED.match(text) or _ANNOUNCED.search(text):
        return True
    return level is not None and bool(text) and not text[0].isspace()
