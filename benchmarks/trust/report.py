"""What came of the studies, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scipy import stats

from benchmarks.search.markdown import table
from benchmarks.trust.play import Played

TARGET = 0.05


def report(studies: Sequence[Played]) -> str:
    """The two questions answered, then a table by service."""
    return "\n".join([*_answers(studies), "", *_by_service(studies), ""])


def _answers(studies: Sequence[Played]) -> Iterator[str]:
    without = [one for one in studies if not one.gain]
    false = sum(one.claimed for one in without)
    yield f"- where nothing can be gained: {_share(false, len(without))} studies claim a gain (target: at most 5%)"
    claims = [one for one in studies if one.gain and one.claimed]
    wrong = sum(not one.true for one in claims)
    yield f"- where something may be: {_share(wrong, len(claims))} claims are false"
    promised = [one for one in studies if one.promised]
    held, replays = sum(one.held for one in promised), sum(one.replays for one in promised)
    yield (
        f"- promised SLOs: {len(promised)} of {sum(one.slo for one in studies)} studies promise theirs; "
        f"{held / max(replays, 1):.1%} of {replays} further replays keep them (target: at least 95%)"
    )
    kept = sum(count for one in studies for count in one.kept.values())
    asked = sum(one.replays * len(one.kept) for one in studies)
    yield f"- 95% bounds of single metrics: {kept / max(asked, 1):.1%} of {asked} further figures keep theirs"


def _share(count: int, total: int) -> str:
    """With the one-sided 95% bound of Clopper and Pearson."""
    if not total:
        return "0 of 0"
    most = 1.0 if count == total else float(stats.beta.ppf(0.95, count + 1, total - count))
    return f"{count} of {total} ({count / total:.1%}, at most {most:.1%} with 95% confidence)"


def _by_service(studies: Sequence[Played]) -> list[str]:
    header = ["service", "gain possible", "studies", "claims", "false", "SLOs promised", "kept", "bounds kept", "runs"]
    groups = sorted({(one.service, one.gain) for one in studies})
    return table(header, (_row([one for one in studies if (one.service, one.gain) == group]) for group in groups))


def _row(studies: Sequence[Played]) -> list[str]:
    claims = [one for one in studies if one.claimed]
    promised = [one for one in studies if one.promised]
    held, replays = sum(one.held for one in promised), sum(one.replays for one in promised)
    kept = sum(count for one in studies for count in one.kept.values())
    asked = sum(one.replays * len(one.kept) for one in studies)
    return [
        studies[0].service,
        "yes" if studies[0].gain else "no",
        str(len(studies)),
        str(len(claims)),
        str(sum(not one.true for one in claims)),
        f"{len(promised)} of {sum(one.slo for one in studies)}",
        f"{held / replays:.1%}" if replays else "–",
        f"{kept / asked:.1%}" if asked else "–",
        f"{sum(one.runs for one in studies) / len(studies):.1f}",
    ]
