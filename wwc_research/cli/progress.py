"""How far a run is: steps done, share of the work, and time left once it can be told.

In: steps with their weights, a call after each. Out: one line on the terminal; elsewhere a line now and then.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TextIO

INTERVAL: Final = 30.0  # seconds between two lines where nobody watches
TRUSTED: Final = (3, 5.0)  # steps and seconds before a time is announced: one step says nothing of the others


class StatusLine:
    """One line on stderr that is written over on a terminal, and elsewhere said now and then.

    Parameters
    ----------
    clock
        Gives seconds.
    """

    def __init__(self, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._clock = clock
        self._watched = self._stream.isatty()
        self._spoken = clock()
        self._width = 0

    def say(self, line: str) -> None:
        """A line for the user, above the state."""
        self.clear()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._watched and self._width:
            self._stream.write(f"\r{'':<{self._width}}\r")
            self._stream.flush()
            self._width = 0

    def _show(self, text: str, *, detail: str = "") -> None:
        """The state; what changes at every step (`detail`) is for those who watch."""
        if self._watched:
            text = (f"{text}: {detail}" if detail else text)[:110]
            self._stream.write(f"\r{text:<{self._width}}")
            self._width = len(text)
            self._stream.flush()
        elif self._clock() - self._spoken >= INTERVAL:
            self._spoken = self._clock()
            self._stream.write(f"{text}\n")
            self._stream.flush()


class Progress(StatusLine):
    """The state of a run; `expect` and `tick` are called by the work, `say` with a line for the user."""

    def __init__(self, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream=stream, clock=clock)
        self._left: dict[str, float] = {}
        self._n_done = 0
        self._done = 0.0
        self._started = self._spoken

    def expect(self, steps: Mapping[str, float]) -> None:
        """The steps that are still to be done: seconds of one core, roughly, by name."""
        if not self._n_done:
            self._started = self._clock()
        self._left = dict(steps)
        self._show(self.line)

    def tick(self, name: str) -> None:
        """The step is done."""
        self._done += self._left.pop(name, 0.0)
        self._n_done += 1
        self._show(self.line, detail=name)

    @property
    def line(self) -> str:
        """Steps done, share of the work, time left."""
        total = self._n_done + len(self._left)
        left = sum(self._left.values())
        share = self._done / (self._done + left) if self._done + left else 1.0
        said = [f"{self._n_done} of {total} steps", f"{share:.0%}"]
        seconds = self._clock() - self._started
        if self._n_done >= TRUSTED[0] and seconds >= TRUSTED[1] and self._done and left:
            said.append(f"about {in_words(seconds * left / self._done)} left")
        return ", ".join(said)


def in_words(seconds: float) -> str:
    """A duration as coarse as an estimate is good for: "20 seconds", "6 minutes", "2.5 hours"."""
    if seconds < 50:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{round(seconds / 1800) / 2:g} hours"


@contextmanager
def progress() -> Iterator[Progress]:
    """A `Progress` on stderr; its line is taken away in the end."""
    shown = Progress()
    try:
        yield shown
    finally:
        shown.clear()


__all__ = ["Progress", "StatusLine", "in_words", "progress"]
