"""A run's folder: ``study.yaml environment.json journal/ trials/0007/… result.json best/``, on disk or remote."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scoot_ray.journal import Journal, observation_from_json, observation_to_json
from scoot_ray.search.trial import Observation, Trial
from scoot_ray.storage import LocalStorage, Place, Storage, local_path, storage_at

STUDY = "study.yaml"
KEPT = "warm_start.json"


class BrokenDocumentError(OSError):
    """A file of the run has something else in it than it should; the message names it."""


class RunFolder:
    """One run's files, each put there whole, so that none is ever half there. ``str()`` of it names it for a user.

    ``place`` is a path, a URI, or a storage. Every method may raise OSError; the first PlaceError, too.
    """

    def __init__(self, place: Place) -> None:
        self.storage = storage_at(place)
        self._copies: Path | None = None

    def __str__(self) -> str:
        return str(self.storage)

    @property
    def path(self) -> Path:
        """Where it is on disk.

        Raises:
            OSError: it is not on a disk of this machine.
        """
        path = local_path(str(self.storage))
        if path is None:
            raise OSError(f"{self}: not on a disk of this machine")
        return path

    @property
    def is_run(self) -> bool:
        """Whether a study was started here."""
        return self.storage.read(STUDY) is not None

    def named(self, name: str) -> str:
        """How a user names one of its files."""
        return str(self.storage.within(name))

    @property
    def study(self) -> Path:
        """The study as resolved, as a file; where the run is not on disk a copy, as long as this object lives."""
        if local_path(str(self.storage)) is not None:
            return self.path / STUDY
        if self._copies is None:
            self._copies = Path(tempfile.mkdtemp(prefix="scoot-ray-"))
            weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
            for name in (STUDY, KEPT):
                content = self.storage.read(name)
                if content is not None:
                    (self._copies / name).write_bytes(content)
        return self._copies / STUDY

    @property
    def journal(self) -> Storage:
        """The events."""
        return self.storage.within("journal")

    @property
    def has_events(self) -> bool:
        """Whether anything has happened in this run that must not be overwritten."""
        return Journal(self.journal).begun

    def trial(self, trial_id: int) -> Storage:
        """The files of one trial."""
        return self.storage.within(_trial(trial_id))

    @property
    def environment(self) -> dict[str, Any]:
        """What the run's last driver noted of study and machine; empty before there was one."""
        return self.read_json("environment.json") or {}

    @property
    def circumstances(self) -> dict[str, Any]:
        """What the first trial that reached a ready engine noted: its version, its limits, requests left out."""
        for folder in self.storage.names("trials"):
            noted = self.read_json(f"trials/{folder}/circumstances.json") or {}
            if "engine_version" in noted:
                return noted
        return {}

    def circumstances_of(self, trial_id: int) -> dict[str, Any]:
        """What one trial noted; empty where it noted nothing."""
        return self.read_json(f"{_trial(trial_id)}/circumstances.json") or {}

    def save(self, observation: Observation, files: Mapping[str, bytes]) -> None:
        """Keep a trial's files; ``result.json`` comes last and vouches for the others."""
        folder = _trial(observation.trial.id)
        for name, content in files.items():
            self.storage.write(f"{folder}/{name}", content)
        document = {"config": dict(observation.trial.config), **observation_to_json(observation)}
        self.storage.write(f"{folder}/result.json", _encode(document))

    def unclaimed(self, trials: tuple[Trial, ...]) -> Iterator[Observation]:
        """Results of open trials that were saved but never reached the journal: the driver died in between.

        One whose writing was cut off vouches for nothing; its trial runs again.
        """
        for trial in trials:
            document = None
            with contextlib.suppress(BrokenDocumentError):
                document = self.read_json(f"{_trial(trial.id)}/result.json")
            if document is not None and document["config"] == dict(trial.config):
                yield observation_from_json(document, trials)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """One of the run's documents; None where it is not there.

        Raises:
            BrokenDocumentError: it is not a JSON object.
        """
        content = self.storage.read(name)
        if content is None:
            return None
        try:
            document = json.loads(content)
        except ValueError as error:
            raise BrokenDocumentError(f"{self.named(name)}: is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise BrokenDocumentError(f"{self.named(name)}: is not a JSON object")
        return document

    def write_json(self, name: str, document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Write one of the run's own documents."""
        self.storage.write(name, _encode(document))

    def write_text(self, name: str, text: str, executable: bool = False) -> None:
        """Write one of the run's own files."""
        self.storage.write(name, text.encode(), executable=executable)


def folder_of(output: str, name: str) -> RunFolder:
    """The folder of the study ``name`` in ``output``, a path or a URI. Raises as RunFolder."""
    return RunFolder(storage_at(output).within(name))


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, nothing between."""
    LocalStorage(path.parent).write(path.name, content)


def _trial(trial_id: int) -> str:
    return f"trials/{trial_id:04d}"


def _encode(document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
