"""From what a user writes, a path or a URI, to a storage."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from scoot_ray.storage.arrow import ArrowStorage
from scoot_ray.storage.local import LocalStorage
from scoot_ray.storage.retrying import Retrying
from scoot_ray.storage.storage import Storage

Place = Path | str | Storage
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://")
_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")
_SECRET = re.compile(r"secret|password|token|_key|signature", re.IGNORECASE)


class PlaceError(ValueError):
    """A place that no run can be kept in; the message is one line."""


def is_uri(place: Path | str) -> bool:
    """Whether it is a URI and not a path."""
    return isinstance(place, str) and _URI.match(place) is not None


def absolute(text: str) -> str:
    """A path made absolute, a URI checked and as it is: how a study names the place of its runs.

    Raises:
        PlaceError: a scheme that is not known, or a credential in the URI, which would be written down.
    """
    if not is_uri(text):
        return str(Path(text).absolute())
    parts = urlsplit(text)
    if parts.scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise PlaceError(f"{parts.scheme}:// is not known; allowed are a path, {known}")
    if parts.password or (parts.scheme == "s3" and parts.username) or _named_secret(parts.query):
        raise PlaceError(
            f"a {parts.scheme}:// with a credential in it; give that by the environment or the machine's role"
        )
    return text


def local_path(place: Path | str) -> Path | None:
    """The path of a place on this machine's file systems; None for any other."""
    if isinstance(place, Path):
        return place
    if not is_uri(place):
        return Path(place)
    parts = urlsplit(place)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def storage_at(place: Place) -> Storage:
    """The storage of a place, patient with what may pass. ``file://`` is the path that it names.

    Raises:
        PlaceError: the URI is not understood, or pyarrow is not installed.
        OSError: it cannot be reached.
    """
    if not isinstance(place, Path | str):
        return place
    path = local_path(place)
    if path is not None:
        return Retrying(LocalStorage(path))
    return Retrying(_remote(absolute(str(place))))


def _remote(uri: str) -> ArrowStorage:
    try:
        from pyarrow.fs import FileSystem  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise PlaceError(f"{uri}: needs pyarrow: pip install 'scoot-ray[storage]'") from error
    try:
        try:
            filesystem, root = FileSystem.from_uri(_in_one_request(uri))
        except ValueError:  # an older pyarrow, or no URI for the newer either
            filesystem, root = FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError) as error:
        raise PlaceError(f"{uri}: {_first_line(error)}") from error
    except OSError as error:  # pyarrow's own may be a page long
        raise OSError(error.errno, _first_line(error), uri) from error
    return ArrowStorage(filesystem, root, uri)


def _in_one_request(uri: str) -> str:
    """Have S3 put a small object in one request instead of the three of an upload in parts."""
    if not uri.startswith("s3://"):
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _named_secret(query: str) -> bool:
    return any(_SECRET.search(key) for key, _ in parse_qsl(query, keep_blank_values=True))
