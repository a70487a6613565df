"""Cases in on standard input, one JSON object a line out, as the commands of contract.md 3 do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping


def cases() -> Iterable[str]:
    """Yield the non-empty lines of standard input; bytes that are not UTF-8 spoil one line only."""
    for line in sys.stdin.buffer:
        case = line.decode(errors="replace")
        if case.strip():
            yield case


def print_answers(answers: Iterable[Mapping[str, object]]) -> None:
    """Print each answer as one line at once, so that a program may ask and wait."""

    def show() -> None:
        for answer in answers:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    quietly(show)


def quietly(show: Callable[[], None]) -> None:
    """Run what prints. Where the reader has had enough and went away, the rest is not printed."""
    try:
        show()
    except BrokenPipeError:
        # The reader has what it wanted. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
