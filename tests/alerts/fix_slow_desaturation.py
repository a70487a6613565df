"""The definition of docs/overnight-oximetry.md read aloud: one second after the other, no arrays.

Slow on purpose, and written from the text: what the fast one is checked against.
"""

from __future__ import annotations

Values = list[int | None]  # tenths of a percent each second; None does not count


def without_jumps(values: Values) -> Values:
    """Take out what a jump cuts off: at most three seconds first, then at most a minute."""
    kept = list(values)
    for longest_s in (3, 60):
        # Pieces as [first, last, whether a jump lies at an end].
        pieces: list[list[int]] = []
        for second, value in enumerate(kept):
            if value is None:
                continue
            last = pieces[-1][1] if pieces else None
            jump = last is not None and abs(value - (kept[last] or 0)) > 40 * (second - last)
            if last is None or jump or second - last > 4:
                if jump:
                    pieces[-1][2] = 1
                pieces.append([second, second, int(jump)])
            else:
                pieces[-1][1] = second
        for first, end, is_cut_off in pieces:
            if is_cut_off and end - first + 1 <= longest_s:
                kept[first : end + 1] = [None] * (end + 1 - first)
    return kept


def stretches(values: Values) -> list[tuple[int, list[int]]]:
    """What can be read as one: start, and values with up to three seconds bridged."""
    found: list[tuple[int, list[int]]] = []
    last: int | None = None
    for second, value in enumerate(values):
        if value is None:
            continue
        if last is not None:
            before, apart = found[-1][1][-1], second - last
            if apart <= 4 and abs(value - before) <= 40 * apart:
                found[-1][1].extend([before] * (apart - 1) + [value])
                last = second
                continue
        found.append((second, [value]))
        last = second
    return found


def held(values: list[int], second: int) -> int:
    """The highest level held for three seconds around this one; -1 for none."""
    windows = [
        values[low : low + 3]
        for low in range(second - 2, second + 1)
        if 0 <= low <= len(values) - 3
    ]
    return max((min(window) for window in windows), default=-1)


def events(values: list[int], depth: int) -> tuple[list[tuple[int, int]], int]:
    """Start and duration of each event, and how many falls had not returned."""
    level = [held(values, second) for second in range(len(values))]
    found, long_falls, since, second = [], 0, 0, 0
    while second < len(values):
        before = level[max(since, second - 120) : second]
        if not before or values[second] > max(before) - depth:
            second += 1
            continue
        baseline = max(before)
        start = second
        while values[start - 1] < baseline - 10:
            start -= 1
        end, lowest = second, values[second]
        while end < len(values) and end - start <= 120:
            lowest = min(lowest, values[end])
            if level[end] >= baseline - 10 or level[end] >= lowest + depth:
                break
            end += 1
        if end - start > 120:
            long_falls += 1
            since = second = start + 120
        elif end == len(values):
            break
        else:
            if end - start >= 10:
                found.append((start, end - start))
                since = end
            second = end
    return found, long_falls
