"""Prints the confusion matrix of the diagnosis over the corpus; ``--write`` puts it into docs/diagnosis.md.

python -m benchmarks.diagnosis [--write]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.diagnosis.corpus import Case, answer, cases, expected, is_ours

DOCUMENT = Path(__file__).parents[2] / "docs" / "diagnosis.md"
GROUPS = {
    "provoked": "provoked on vLLM 0.32",
    "quoted": "quoted",
    "held_back": "quoted, held back",
    "afterwards": "collected afterwards",
}
BEGIN, END = "<!-- python -m benchmarks.diagnosis --write -->", "<!-- end -->"


def report(corpus: Sequence[Case]) -> str:
    """The matrix, how many are right, and every case that is not."""
    pairs = [(expected(case), answer(case)) for case in corpus]
    wrong = [(case, got) for case, (wanted, got) in zip(corpus, pairs, strict=True) if wanted != got]
    lines = [_matrix(pairs), "", _shares(corpus), ""]
    lines += [f"- `{case.name}` ({case.source}): {expected(case)} taken for {got}." for case, got in wrong]
    return "\n".join(lines if wrong else [*lines, "No case is misread."])


def _matrix(pairs: Sequence[tuple[str, str]]) -> str:
    names = sorted({name for pair in pairs for name in pair}, key=lambda name: (is_ours(name), name))
    counts = Counter(pairs)
    rows = [["expected \\ found", *names]]
    rows += [[name, *(str(counts[name, other] or "·") for other in names)] for name in names]
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "| --- |" + " ---: |" * len(names), *body])


def _shares(corpus: Sequence[Case]) -> str:
    groups = {"all": corpus} | {
        title: [case for case in corpus if case.group == group] for group, title in GROUPS.items()
    }
    rows = ["| cases | | kind | whose fault | ambiguity | line |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, group in groups.items():
        kinds = sum(expected(case) == answer(case) for case in group)
        faults = sum(is_ours(expected(case)) == is_ours(answer(case)) for case in group)
        doubts = [case for case in group if case.kind is not None]
        unsure = sum(case.diagnose().ambiguous == case.ambiguous for case in doubts)
        placed = [case for case in group if case.line is not None]
        lines = sum(case.diagnose().line_number == case.line for case in placed)
        rows.append(
            f"| {name} | {len(group)} | {kinds} | {faults} | {unsure} of {len(doubts)} | {lines} of {len(placed)} |"
        )
    return "\n".join(rows)


def written(document: str, text: str) -> str:
    """The document with ``text`` between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main() -> None:
    """Print, or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it into docs/diagnosis.md")
    text = report(cases())
    if parser.parse_args().write:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), text))
    else:
        print(text)


if __name__ == "__main__":
    main()
