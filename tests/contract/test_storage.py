"""What every storage promises: this machine's disks, pyarrow's file systems, one that fails now and then, S3."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from scoot_ray.journal import Journal, JournalError
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Measured, Observation, Origin, Trial
from scoot_ray.storage import LocalStorage, Patience, PlaceError, Retrying, Storage, storage_at
from scoot_ray.storage.arrow import ArrowStorage
from scoot_ray.storage.lease import LeaseTimes
from tests.faulty import Faults, FaultyStorage, MemoryStorage

QUICK = LeaseTimes(beat_s=0.05, stale_s=0.2, settle_s=0.01)
TRIAL = Trial(0, {"x": 1}, Origin.DEFAULT)
SEEN = Observation(TRIAL, Measured({"mean_ttft_ms": 812.0}), "host", {"load_s": 1.0})
KINDS = ("local", "memory", "file", "flaky", "arrow-local", "arrow-subtree", "arrow-memory", "s3")


def transient() -> BaseException:
    return OSError(errno.EIO, "the network blinked")


def at_once() -> Patience:
    return Patience((0.0,) * 3, lambda _: None)


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return made(request.param, tmp_path, request)


def made(kind: str, folder: Path, request: pytest.FixtureRequest) -> Storage:  # noqa: PLR0911 - one for each kind
    if kind == "local":
        return LocalStorage(folder)
    if kind == "memory":
        return MemoryStorage()
    if kind == "file":
        return storage_at(f"file://{folder}")
    if kind == "flaky":
        return Retrying(FaultyStorage(LocalStorage(folder), Faults(1, "after", transient, 2)), at_once())
    if kind == "s3":
        return storage_at(f"s3://bucket/runs/{folder.name}{request.getfixturevalue('s3')}")
    fs = pytest.importorskip("pyarrow.fs")
    if kind == "arrow-local":
        return ArrowStorage(fs.LocalFileSystem(), str(folder), f"arrow://{folder}")
    if kind == "arrow-subtree":
        return ArrowStorage(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), "runs", "subtree://runs")
    return ArrowStorage(fs._MockFileSystem(), "runs", "memory://runs")


def test_what_is_written_is_read_back_listed_and_removed(storage: Storage) -> None:
    assert storage.read("absent") is None
    assert storage.names() == storage.names("absent") == ()
    storage.write("b.json", b"first, and longer")
    storage.write("b.json", b"second")
    storage.write("a/deep/c.log", b"\0\xff")
    storage.create("d", b"")
    assert storage.read_many(["d", "b.json", "absent"]) == [b"", b"second", None]
    assert storage.names() == ("a", "b.json", "d")
    assert storage.within("a").names("deep") == ("c.log",)
    assert storage.within("a").within("deep").read("c.log") == b"\0\xff"
    storage.delete("b.json")
    storage.delete("b.json")
    assert storage.names() == ("a", "d")
    assert str(storage.within("a")).partition("?")[0].rstrip("/").endswith("/a")


def test_what_is_there_is_not_created_again(storage: Storage) -> None:
    storage.write("other", b"")
    storage.create("event", b"one")
    with pytest.raises(FileExistsError):
        storage.create("event", b"two")
    assert storage.read("event") == b"one"


def test_a_run_is_kept_and_taken_up(storage: Storage) -> None:
    folder = RunFolder(storage)
    assert not folder.is_run
    assert not folder.has_events
    folder.write_text("study.yaml", "name: kept")
    folder.save(SEEN, {"circumstances.json": b'{"engine_version": "9.9"}', "engine.log": b"up"})
    journal = Journal(folder.journal, lease_times=QUICK)
    with journal.exclusive():
        log = journal.submitted(journal.started(journal.replay(), {}), TRIAL)
        with pytest.raises(JournalError, match="another driver"), Journal(folder.journal).exclusive():
            pass
    again = RunFolder(storage)
    assert again.is_run
    assert again.study.read_text() == "name: kept"
    journal = Journal(again.journal, lease_times=QUICK)
    with journal.exclusive():
        assert journal.replay() == log
        assert list(again.unclaimed(log.open)) == [SEEN]
        log = journal.observed(log, SEEN)
        journal.stopped("complete", complete=True)
    assert Journal(again.journal).replay() == log
    assert Journal(again.journal).finished
    assert again.circumstances == {"engine_version": "9.9"}
    assert not [name for name in storage.names("journal") if name.startswith("lease")]


def test_a_second_writer_is_found_at_its_first_event(storage: Storage) -> None:
    first, second = Journal(storage), Journal(storage)
    log = first.started(first.replay(), {})
    second.replay()
    first.submitted(log, TRIAL)
    with pytest.raises(JournalError, match="another driver"):
        second.submitted(log, TRIAL)


@pytest.mark.parametrize("how", ["before", "after", "torn"])
def test_a_failed_creation_is_tried_again_and_is_ours_even_where_it_had_worked(tmp_path: Path, how: str) -> None:
    faults = Faults(0, how, transient)  # type: ignore[arg-type]  # parametrize knows no literals
    storage = Retrying(FaultyStorage(LocalStorage(tmp_path), faults), at_once())
    storage.create("event", b"whole")
    assert storage.read("event") == b"whole"
    assert storage.names() == ("event",)
    with pytest.raises(FileExistsError):
        storage.create("event", b"whole too")


def test_what_passes_is_tried_within_bounds_and_what_lasts_is_not() -> None:
    waited: list[float] = []
    for error, tries in ((OSError(errno.EIO, "x"), 3), (OSError(errno.ENOSPC, "full"), 3), (PermissionError(), 1)):
        faults = Faults(0, raises=lambda error=error: error, times=100)  # type: ignore[misc]  # bound now
        storage = Retrying(FaultyStorage(LocalStorage(Path("unused")), faults), Patience((1.0, 2.0), waited.append))
        with pytest.raises(OSError, match=r".*"):
            storage.write("name", b"")
        assert faults.count == tries
    assert waited == [1.0, 2.0, 1.0, 2.0]


def test_a_full_disk_names_the_file_and_loses_nothing(tmp_path: Path) -> None:
    faults = Faults(2, raises=lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), times=4)
    storage = Retrying(FaultyStorage(LocalStorage(tmp_path), faults), at_once())
    journal = Journal(storage)
    log = journal.submitted(journal.started(journal.replay(), {}), TRIAL)
    with pytest.raises(JournalError, match=r"00000002\.json: cannot write: No space left on device"):
        journal.observed(log, SEEN)
    journal = Journal(storage)
    assert journal.replay() == log
    assert journal.observed(log, SEEN).observations == (SEEN,)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("ftp://host/runs", "ftp:// is not known; allowed are a path, s3://"),
        ("s3://key:secret@bucket/runs", "a credential in it"),
        ("abfs://runs@account.host/x?sas_token=abc", "a credential in it"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_without_repeating_it(place: str, said: str) -> None:
    with pytest.raises(PlaceError, match=said) as caught:
        storage_at(place)
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_disk_gone_read_only_is_named_by_the_first_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    storage = LocalStorage(tmp_path)
    monkeypatch.setattr(Path, "unlink", unlink)
    storage.create("000000.json", b"{}")
    assert storage.read("000000.json") == b"{}", "what was created is there, though its copy could not be removed"
    with pytest.raises(FileExistsError):
        storage.create("000000.json", b"{}")
