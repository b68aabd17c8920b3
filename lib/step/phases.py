"""How long the phases of a step take. Every second counts once, for the innermost phase at that time."""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

PHASES = ("open", "read", "clean", "gates", "compute", "write", "reconcile", "publish")


class Phases:
    """A clock that counts for one phase at a time."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._going: list[str] = []
        self._since = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time for a phase; the clock of the phase around it stands still."""
        self._count()
        self._going.append(name)
        try:
            yield
        finally:
            self._count()
            self._going.pop()

    def so_far(self) -> dict[str, float]:
        """Return the seconds of each phase, up to now."""
        self._count()
        return {name: round(seconds, 3) for name, seconds in self._seconds.items()}

    def _count(self) -> None:
        now = time.perf_counter()
        if self._going:
            self._seconds[self._going[-1]] += now - self._since
        self._since = now


def timed(name: str) -> Callable[[Callable], Callable]:
    """Count a step's method, or each item of one that is a generator, for a phase."""
    def decorate(method: Callable) -> Callable:
        @wraps(method)
        def call(step: Any, *arguments: Any, **named: Any) -> Any:
            with step.phases.phase(name):
                return method(step, *arguments, **named)

        @wraps(method)
        def iterate(step: Any, *arguments: Any, **named: Any) -> Iterator[Any]:
            items, end = method(step, *arguments, **named), object()
            while True:
                with step.phases.phase(name):
                    item = next(items, end)
                if item is end:
                    return
                yield item

        return iterate if inspect.isgeneratorfunction(method) else call
    return decorate
