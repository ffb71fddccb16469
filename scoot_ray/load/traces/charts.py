"""A census shown: as plain text with bars of characters, or as a picture."""

from __future__ import annotations

from collections.abc import Sequence

from scoot_ray.load.errors import LoadError
from scoot_ray.load.traces.census import Census
from scoot_ray.load.traces.tallies import Distribution

_BAR, _HEIGHT = 50, 6


def census_text(census: Census) -> str:
    """Several lines of figures, then lengths and arrivals as charts."""
    lines = [
        f"rows            {census.rows:,}" + (f", {census.text_rows:,} of text" if census.text_rows else ""),
        f"input tokens    {_figures(census.inputs)}",
        f"output tokens   {_figures(census.outputs)}",
        *_correlation(census),
        *_arrivals(census),
        *_sharing(census),
        *_sessions(census),
    ]
    if census.measured_rows:
        lines.append(f"note            the input lengths of {census.measured_rows:,} rows are measured on their text")
    lines += ["", *_bars("input tokens", census.input_doublings), "", *_bars("output tokens", census.output_doublings)]
    if census.arrivals is not None:
        lines += ["", *_columns(census.timeline, census.timeline_width_s)]
    return "\n".join(lines) + "\n"


def census_png(census: Census, path: str) -> None:
    """Write the charts as a picture. Raises LoadError without matplotlib, or where the file cannot be written."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise LoadError("png: needs the extra: pip install 'scoot-ray[plots]'") from None
    figure = Figure(figsize=(8, 9), layout="constrained")
    inputs, outputs, rate = figure.subplots(3, 1)
    for axes, bins, name in ((inputs, census.input_doublings, "input"), (outputs, census.output_doublings, "output")):
        axes.bar([f"{low:,}" for low, _ in bins], [count for _, count in bins])
        axes.set(xlabel=f"{name} tokens, from", ylabel="requests")
        axes.tick_params(axis="x", rotation=45)
    width_s = census.timeline_width_s
    starts_s = [at * width_s for at in range(len(census.timeline) + 1)]
    rate.stairs([count / width_s for count in census.timeline], starts_s, fill=True)
    rate.set(xlabel="s", ylabel="requests/s")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise LoadError(
            f"png: {path}: cannot be written: {error.strerror or error}; allowed a writable path"
        ) from error


def _figures(lengths: Distribution) -> str:
    named = (
        ("min", lengths.min),
        ("p50", lengths.p50),
        ("p90", lengths.p90),
        ("p99", lengths.p99),
        ("max", lengths.max),
    )
    return f"mean {lengths.mean:,.0f}  std {lengths.std:,.0f}  " + "  ".join(
        f"{name} {value:,}" for name, value in named
    )


def _correlation(census: Census) -> list[str]:
    if census.length_correlation is None:
        return []
    return [f"correlation     {census.length_correlation:+.2f} between the logarithms of input and output"]


def _arrivals(census: Census) -> list[str]:
    arrivals = census.arrivals
    if arrivals is None:
        return ["arrivals        no times"]
    peak = f"at most {arrivals.peak_rate:.4g}/s over {arrivals.peak_over_s:g} s"
    lines = [
        f"arrivals        {arrivals.mean_rate:.4g}/s over {arrivals.span_s:,.1f} s, {peak}",
        f"burstiness      coefficient of variation of the gaps {arrivals.gap_cv:.2f} (Poisson 1)",
    ]
    if arrivals.out_of_order:
        lines.append(f"order           {arrivals.out_of_order:,} rows are earlier than one before them")
    return lines


def _sharing(census: Census) -> list[str]:
    sharing = census.sharing
    if sharing is None:
        return ["prefixes        not said"]
    begun = f"{sharing.rows_begun_before:.1%} of {sharing.rows_with_blocks:,} rows begin with one that was"
    return [f"prefixes        {sharing.blocks_seen_before:.1%} of the blocks of 512 tokens were seen before; {begun}"]


def _sessions(census: Census) -> list[str]:
    sessions = census.sessions
    if sessions is None:
        return ["sessions        not said"]
    turns = sessions.turns
    figures = f"mean {turns.mean:.2f}  p50 {turns.p50}  p90 {turns.p90}  max {turns.max}"
    return [f"sessions        {sessions.count:,} with {sessions.rows:,} rows; turns: {figures}"]


def _bars(title: str, bins: Sequence[tuple[int, int]]) -> list[str]:
    most = max(count for _, count in bins)
    width = len(f"{bins[-1][0]:,}")
    return [f"{title}, from", *(f"{low:>{width},} {'#' * -(-_BAR * n // most):<{_BAR}} {n:,}" for low, n in bins)]


def _columns(counts: Sequence[int], width_s: float) -> list[str]:
    """One column a bin, ``_HEIGHT`` characters for the fullest."""
    most = max(counts)
    heights = [-(-_HEIGHT * count // most) for count in counts]
    rows = ["".join("#" if height >= level else " " for height in heights) for level in range(_HEIGHT, 0, -1)]
    title = f"requests/s, at most {most / width_s:.4g}, {width_s:g} s a column"
    return [title, *(f"|{row}".rstrip() for row in rows), "+" + "-" * len(counts)]
