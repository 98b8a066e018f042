"""Async floor: fetch, compute, stage, all bounded.

```python
async with Engine.open(settings) as engine:
    async with contextlib.aclosing(engine.stream(chunks, fetch=fetch, stage=stage)) as items:
        async for item in items:
            match item:
                case Done(chunk=chunk, value=receipt): ...
                case Lost(chunk=chunk, error=error): ...
```

`engine` is the door; behind it `stream` and `work` bound the stages, `compute` retries, `budget`
admits, `pool` runs workers that `launcher` and `nursery` start, and `watch` holds them to time and
memory. `scope`, `retry`, `log` and `telemetry` are of use above as well.
"""
