"""Run folders made by hand: a study, its trace, a journal and files of trials, at times that are chosen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from scoot_ray.journal import Journal
from scoot_ray.log import Log
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Observation
from tests.fakes import STUDY

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMINGS = {"queue_s": 1.0, "start_s": 30.0, "warmup_s": 2.0, "load_s": 10.0, "drain_s": 1.0, "stop_s": 2.0}
_ROW = '{"timestamp": 0, "input_length": 8, "output_length": 4}\n'


def make_run(
    path: Path,
    observations: Sequence[Observation],
    *,
    changes: Mapping[str, object] | None = None,
    files: Mapping[int, Mapping[str, str]] | None = None,
    stopped: bool = True,
    trace: str = "trace.jsonl",
) -> RunFolder:
    """A run whose evaluations ended a minute apart; ``changes`` replace sections of the study of ``tests.fakes``."""
    path.mkdir(parents=True)
    (path / trace).write_text(_ROW * 3)
    document = yaml.safe_load(STUDY)
    document["workload"]["trace"] = trace
    (path / "study.yaml").write_text(yaml.safe_dump({**document, **(changes or {})}, allow_unicode=True))
    folder = RunFolder(path)
    folder.write_json("environment.json", {"scoot_ray": "0.1.0", "python": "3.11", "trace_sha256": "c0ffee"})
    now = [BEGAN]
    journal = Journal(folder.journal, clock=lambda: now[0])
    log = journal.started(Log(), {"trace_sha256": "c0ffee"})
    for seen in observations:
        log = journal.submitted(log, seen.trial)
        now[0] += timedelta(seconds=60)
        log = journal.observed(log, seen)
        folder.save(seen, _files(seen, (files or {}).get(seen.trial.id, {})))
    if stopped:
        journal.stopped("complete", complete=True)
    return folder


def _files(seen: Observation, own: Mapping[str, str]) -> dict[str, bytes]:
    noted = {"engine_version": "9.9", "max_model_len": 128, "replicas": 1, "dropped": 0, "clipped": 0}
    usual = {"engine.log": f"INFO trial {seen.trial.id}\n", "circumstances.json": json.dumps(noted)}
    return {name: content.encode(errors="surrogatepass") for name, content in {**usual, **own}.items()}
