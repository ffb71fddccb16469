"""Which family a file belongs to, by its first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from scoot_ray.load.formats.bailian import BailianParser, has_small_blocks, parse_timed
from scoot_ray.load.formats.native import parse_native
from scoot_ray.load.formats.records import Row
from scoot_ray.load.formats.source import Place
from scoot_ray.load.formats.tables import AZURE_HEADER, BURSTGPT_HEADER, parse_azure, parse_burstgpt
from scoot_ray.load.formats.texts import ShareGptParser, parse_batch, parse_custom
from scoot_ray.load.formats.tokens import TokenCounter
from scoot_ray.load.trace import Request

Parser: TypeAlias = Callable[[Row, Place], Iterable[Request]]

KNOWN = (
    "JSON lines of objects, an array of ShareGPT conversations, or CSV with the header "
    f"{','.join(AZURE_HEADER)} or {','.join(BURSTGPT_HEADER)} among others"
)


class Format(NamedTuple):
    """A format's name and what makes requests of its rows."""

    name: str
    parse: Parser


def json_format(rows: Sequence[Row], output_tokens: int | None, tokens: TokenCounter) -> Format:
    """The format of JSON objects; the native one, whose errors then say what is missing, where nothing else fits."""
    keys = rows[0].keys() if rows else frozenset[str]()
    if "conversations" in keys:
        return sharegpt_format(tokens)
    if {"custom_id", "body"} <= keys:
        return Format("OpenAI batch", partial(parse_batch, output_tokens=output_tokens))
    if {"chat_id", "input_length"} <= keys:
        return Format("Bailian", BailianParser())
    if "prompt" in keys and not {"output_length", "input_length"} & keys:
        return Format("vLLM custom", partial(parse_custom, output_tokens=output_tokens))
    if any(has_small_blocks(row) for row in rows):
        return Format("vLLM timed", parse_timed)
    return Format("native", parse_native)


def sharegpt_format(tokens: TokenCounter) -> Format:
    """ShareGPT, as the one format that is an array."""
    return Format("ShareGPT", ShareGptParser(tokens))


def csv_format(header: Iterable[str]) -> Format | None:
    """The format of a CSV file with this header; None where it is unknown."""
    columns = set(header)
    if columns.issuperset(AZURE_HEADER):
        return Format("Azure", parse_azure)
    if columns.issuperset(BURSTGPT_HEADER):
        return Format("BurstGPT", parse_burstgpt)
    return None
