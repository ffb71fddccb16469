"""A run's folder on disk: ``study.yaml environment.json journal/ trials/0007/… result.json best/``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoot_ray.journal import observation_from_json, observation_to_json
from scoot_ray.search.trial import Observation, Trial


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of one run, and how its files are written: aside first, then renamed, so that none is ever half there."""

    path: Path

    @property
    def study(self) -> Path:
        """The study as resolved."""
        return self.path / "study.yaml"

    @property
    def journal(self) -> Path:
        """The events."""
        return self.path / "journal"

    @property
    def has_events(self) -> bool:
        """Whether anything has happened in this run that must not be overwritten."""
        return any(self.journal.glob("*.json"))

    @property
    def result(self) -> Path:
        """The outcome of a complete run."""
        return self.path / "result.json"

    def trial(self, trial_id: int) -> Path:
        """The files of one trial."""
        return self.path / "trials" / f"{trial_id:04d}"

    @property
    def environment(self) -> dict[str, Any]:
        """What the run's last driver noted of study and machine; empty before there was one."""
        path = self.path / "environment.json"
        noted: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
        return noted

    @property
    def circumstances(self) -> dict[str, Any]:
        """What the first trial that reached a ready engine noted: its version, its limits, requests left out."""
        for path in sorted((self.path / "trials").glob("*/circumstances.json")):
            noted: dict[str, Any] = json.loads(path.read_bytes())
            if "engine_version" in noted:
                return noted
        return {}

    def circumstances_of(self, trial_id: int) -> dict[str, Any]:
        """What one trial noted; empty where it noted nothing."""
        path = self.trial(trial_id) / "circumstances.json"
        noted: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
        return noted

    def save(self, observation: Observation, files: Mapping[str, bytes]) -> None:
        """Keep a trial's files; ``result.json`` comes last and vouches for the others."""
        folder = self.trial(observation.trial.id)
        for name, content in files.items():
            write(folder / name, content)
        document = {"config": dict(observation.trial.config), **observation_to_json(observation)}
        write(folder / "result.json", _encode(document))

    def unclaimed(self, trials: tuple[Trial, ...]) -> Iterator[Observation]:
        """Results of open trials that were saved but never reached the journal: the driver died in between."""
        for trial in trials:
            path = self.trial(trial.id) / "result.json"
            if path.is_file():
                document = json.loads(path.read_bytes())
                if document["config"] == dict(trial.config):
                    yield observation_from_json(document, trials)

    def write_json(self, name: str, document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Write one of the run's own documents."""
        write(self.path / name, _encode(document))

    def write_text(self, name: str, text: str, executable: bool = False) -> None:
        """Write one of the run's own files."""
        write(self.path / name, text.encode())
        if executable:
            (self.path / name).chmod(0o755)


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


def _encode(document: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> bytes:
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
