"""CSV tables: Azure's LLM inference traces (2023, 2024) and BurstGPT."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats import fields
from scoot_ray.load.formats.records import Row
from scoot_ray.load.formats.source import Place
from scoot_ray.load.trace import Request

AZURE_HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
BURSTGPT_HEADER = ("Timestamp", "Request tokens", "Response tokens")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_azure(row: Row, place: Place) -> tuple[Request, ...]:
    """One request: a calendar time and two lengths. Raises TraceError."""
    time, context, generated = (row[name] for name in AZURE_HEADER)
    return (
        Request(
            timestamp_s=_calendar_s(time, place),
            input_tokens=fields.count(_integer(context), AZURE_HEADER[1], place),
            output_tokens=fields.count(_integer(generated), AZURE_HEADER[2], place),
        ),
    )


def parse_burstgpt(row: Row, place: Place) -> tuple[Request, ...]:
    """One request: seconds and two lengths; none where a length is 0, which is how failures are recorded.

    Raises TraceError.
    """
    time, request_tokens, response_tokens = (row[name] for name in BURSTGPT_HEADER)
    timestamp_s = _seconds(time, place)
    inputs, outputs = _integer(request_tokens), _integer(response_tokens)
    if 0 in {inputs, outputs}:
        return ()
    return (
        Request(
            timestamp_s=timestamp_s,
            input_tokens=fields.count(inputs, BURSTGPT_HEADER[1], place),
            output_tokens=fields.count(outputs, BURSTGPT_HEADER[2], place),
            session=row.get("Session ID") or None,
            request_class=row.get("Log Type") or None,
        ),
    )


def azure_line(request: Request) -> str:
    """One request as a line of Azure's CSV, 0 s being 1970. Raises LoadError for one without a length, or too late."""
    if request.input_tokens is None:
        raise LoadError(
            "input_length: is unknown for a row of text; allowed rows with lengths, such as anonymised ones"
        )
    try:
        moment = _EPOCH + timedelta(seconds=request.timestamp_s)
    except OverflowError:
        raise LoadError(f"timestamp: {request.timestamp_s:g} s; allowed times within the calendar") from None
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}0,{request.input_tokens},{request.output_tokens}\n"


def _calendar_s(text: str, place: Place) -> float:
    """Seconds since the epoch; a time without a zone is taken as UTC. Digits beyond microseconds are cut off."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise place.error(AZURE_HEADER[0], fields.shown(text), "an ISO date and time") from None


def _seconds(text: str, place: Place) -> float:
    allowed = "a finite number of seconds"
    try:
        value = float(text)
    except ValueError:
        raise place.error(BURSTGPT_HEADER[0], fields.shown(text), allowed) from None
    return fields.number(value, BURSTGPT_HEADER[0], place, allowed)


def _integer(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text
