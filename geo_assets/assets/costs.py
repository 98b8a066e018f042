"""What a step cost, for Dagster: numbers that it plots, and pictures of where the time went."""

from __future__ import annotations

from typing import Any

import dagster as dg

from geo_assets.engine.measure import Measure
from geo_assets.engine.trace import ChunkTrace
from geo_assets.pictures.load import ChunkBar, Load, load_picture, load_thumbnail
from geo_assets.pictures.svg import inline, large


def costs(measure: Measure) -> dict[str, Any]:
    """The metadata of a step: flat numbers, and pictures where it did chunks.

    `load` is tiny, the lag of the loop and the chunks' memory with their limits; `timeline` shows
    the longest chunks over the same time.
    """
    if not measure.chunks:
        return dict(measure.snapshot())
    load = load_of(measure)
    pictures = {
        "load": inline(load_thumbnail(load), load.alt),
        "timeline": large(load_picture(load), load.alt),
    }
    shown = {title: dg.MetadataValue.md(text) for title, text in pictures.items() if text}
    return {**shown, **measure.snapshot()}


def load_of(measure: Measure) -> Load:
    """What is drawn of a measure."""
    traces = measure.longest.traces()
    several = len({trace.fields.get("partition") for trace in traces}) > 1
    bars = [_bar(trace, measure.began, several=several) for trace in traces]
    return Load(
        seconds=max(measure.wall_s, *(item.end for item in bars), 0.001),
        chunks=measure.chunks,
        bars=bars,
        lag=measure.lag_curve.points,
        lag_seconds=measure.lag_curve.seconds,
        lag_p99=measure.lag.quantile(0.99),
        memory=measure.memory_curve.points,
        memory_seconds=measure.memory_curve.seconds,
        budget=measure.budget,
        workers=measure.workers,
    )


def _bar(trace: ChunkTrace, began: float, *, several: bool) -> ChunkBar:
    partition = trace.fields.get("partition", "") if several else ""
    return ChunkBar(
        name=f"{partition}/{trace.chunk}" if partition else trace.chunk,
        worker=trace.worker,
        begin=trace.began - began,
        end=trace.ended - began,
        parts=tuple((stage, begin - began, end - began) for stage, begin, end in trace.marks),
        failed=bool(trace.error),
    )
