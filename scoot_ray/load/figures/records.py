"""Request records as they are written: ``replay --json``, ``--records`` and a trial's ``requests-<order>.jsonl``.

No prompt is ever in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoot_ray.load.trace import RequestRecord, Usage


def record_to_json(record: RequestRecord) -> dict[str, Any]:
    """One request's life in absolute ``time.monotonic()`` seconds, one ``ev`` per content event."""
    usage = record.usage
    document: dict[str, Any] = {
        "i": record.index,
        "sched": record.scheduled_s,
        "sent": record.sent_s,
        "ev": list(record.token_times_s),
        "done": record.done_s,
        "status": record.status,
        "error": record.error,
        "usage": usage and {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens},
    }
    return document if record.request_class is None else {**document, "class": record.request_class}


def record_from_json(document: Mapping[str, Any]) -> RequestRecord:
    """Read back what record_to_json wrote."""
    usage = document["usage"]
    return RequestRecord(
        document["i"],
        document["sched"],
        document["sent"],
        tuple(document["ev"]),
        document["done"],
        document["status"],
        document["error"],
        usage and Usage(usage["prompt_tokens"], usage["completion_tokens"]),
        request_class=document.get("class"),
    )
