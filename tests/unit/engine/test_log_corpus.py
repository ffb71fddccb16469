"""The verdict on every log of the corpus, and that docs/diagnosis.md shows what is true."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from benchmarks.diagnosis.__main__ import DOCUMENT, report, written
from benchmarks.diagnosis.corpus import FOLDER, Case, answer, cases, expected, is_ours
from scoot_ray.cli import main

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict(case: Case) -> None:
    found = case.diagnose()
    assert answer(case) == expected(case), found
    if case.kind is not None:
        assert found.ambiguous is case.ambiguous, found
        assert set(case.names) <= set(found.parameters), found
    if case.line is not None:
        assert found.line_number == case.line, found


def test_nothing_of_ours_is_ever_blamed_on_the_configuration() -> None:
    assert not [case.name for case in CASES if is_ours(expected(case)) and not is_ours(answer(case))]


def test_the_corpus_is_large_and_of_many_versions() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert {"vllm", "sglang", "tensorrt_llm"} == {case.engine for case in CASES}
    assert len({case.version for case in CASES if case.engine == "vllm"}) >= 15
    assert sum(case.kind is None for case in CASES) >= 4


def test_the_logs_hold_nothing_of_the_machine_they_come_from() -> None:
    for path in (FOLDER / "provoked").glob("*.log"):
        text = path.read_text()
        assert "/root" not in text, path
        assert "scoot-ray-provoke" not in text, path


def test_the_document_shows_the_present_matrix() -> None:
    document = DOCUMENT.read_text()
    assert document == written(document, report(CASES)), "run python -m benchmarks.diagnosis --write"


def test_the_verb_reads_standard_input_and_prints_one_document() -> None:
    log = "INFO x\napi_server.py: error: unrecognized arguments: --swap-space 4\n"
    done = CliRunner().invoke(main, ["diagnose", "-", "--exit-code", "2", "--json"], input=log)
    assert done.exit_code == 0
    assert '"kind": "rejected"' in done.output
    assert '"line_number": 2' in done.output
    assert '"fault": "configuration"' in done.output


def test_the_verb_shows_evidence_with_its_line_and_refuses_what_is_no_file() -> None:
    said = CliRunner().invoke(main, ["diagnose", "-", "--exit-code", "-9"], input="\n").output
    assert "worth a second try" in said
    done = CliRunner().invoke(main, ["diagnose", str(FOLDER)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
