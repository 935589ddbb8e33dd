"""Lines two lists up, so that one item put in is one difference and not a difference of all that follow.

Works on canonical texts and values of one document each; it must not know what the items mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import pairwise

Pair = tuple[int | None, int | None]
"""The places of an item in our list and in theirs; None where it is not in one."""

_MOST_WEIGHED = 1_024
"""Pairs of items up to which it is weighed which are most alike; beyond, they are compared place by place."""


def align(ours: list[object], theirs: list[object], texts: list[str], other_texts: list[str]) -> list[Pair]:
    """Which item of ours is which of theirs, in the order of both. Takes time in proportion to their number.

    Args:
        ours: the items.
        theirs: likewise.
        texts: the canonical text of each of ours, by which they are equal.
        other_texts: likewise.
    """
    pairs: list[Pair] = []
    # What is there once in both holds the lists together (patience diff); what is in between is seen by itself.
    anchors = [(-1, -1), *_anchors(texts, other_texts), (len(texts), len(other_texts))]
    for (before, other_before), (after, other_after) in pairwise(anchors):
        if before >= 0:
            pairs.append((before, other_before))
        start, other_start = before + 1, other_before + 1
        stop, other_stop = after, other_after
        while start < stop and other_start < other_stop and texts[start] == other_texts[other_start]:
            pairs.append((start, other_start))
            start, other_start = start + 1, other_start + 1
        ends: list[Pair] = []
        while start < stop and other_start < other_stop and texts[stop - 1] == other_texts[other_stop - 1]:
            stop, other_stop = stop - 1, other_stop - 1
            ends.append((stop, other_stop))
        pairs += _between(ours, theirs, range(start, stop), range(other_start, other_stop))
        pairs += reversed(ends)
    return pairs


def _anchors(texts: list[str], other_texts: list[str]) -> list[tuple[int, int]]:
    """Items that are there once in both, as many as are in the same order: the longest increasing subsequence."""
    if texts == other_texts:
        return [(index, index) for index in range(len(texts))]
    once, other_once = Counter(texts), Counter(other_texts)
    places = {text: index for index, text in enumerate(other_texts) if other_once[text] == 1}
    common = [(index, places[text]) for index, text in enumerate(texts) if once[text] == 1 and text in places]
    tails: list[int] = []
    chains: list[int] = []
    earlier: list[int | None] = []
    for at, (_, other) in enumerate(common):
        length = bisect_left(tails, other)
        earlier.append(chains[length - 1] if length else None)
        tails[length : length + 1] = [other]
        chains[length : length + 1] = [at]
    found = []
    at_last = chains[-1] if chains else None
    while at_last is not None:
        found.append(common[at_last])
        at_last = earlier[at_last]
    return found[::-1]


def _between(ours: list[object], theirs: list[object], gap: range, other_gap: range) -> list[Pair]:
    """Pairs of items that are most alike, in order."""
    rows, columns = len(gap), len(other_gap)
    if rows == columns == 1 or not rows or not columns or rows * columns > _MOST_WEIGHED:
        both = min(rows, columns)
        pairs: list[Pair] = list(zip(gap, other_gap, strict=False))
        return [*pairs, *((index, None) for index in gap[both:]), *((None, index) for index in other_gap[both:])]
    # The least sum of weights (Needleman and Wunsch, 1970): 1 for an item that only one has, less than 2 for a pair.
    weights = [[_unlike(ours[i], theirs[j]) for j in other_gap] for i in gap]
    best = [[float(column) for column in range(columns + 1)]]
    for row in range(rows):
        line = [row + 1.0]
        for column in range(columns):
            pair = best[row][column] + weights[row][column]
            line.append(min(pair, best[row][column + 1] + 1, line[column] + 1))
        best.append(line)
    found: list[Pair] = []
    row, column = rows, columns
    while row and column:
        if best[row][column] == best[row - 1][column - 1] + weights[row - 1][column - 1]:
            row, column = row - 1, column - 1
            found.append((gap[row], other_gap[column]))
        elif best[row][column] == best[row - 1][column] + 1:
            row -= 1
            found.append((gap[row], None))
        else:
            column -= 1
            found.append((None, other_gap[column]))
    found += [(index, None) for index in reversed(gap[:row])]
    found += [(None, index) for index in reversed(other_gap[:column])]
    return found[::-1]


def _unlike(ours: object, theirs: object) -> float:
    """How unlike two items are: at most 1.9, so that a pair is always better than two items that have none."""
    alike = _alike(ours, theirs)
    return 0.0 if alike == 1 else 0.1 + 1.8 * (1 - alike)


def _alike(ours: object, theirs: object) -> float:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = ours.keys() | theirs.keys()
        same = sum(_alike_members(ours[name], theirs[name]) for name in ours.keys() & theirs.keys())
        return same / len(names) if names else 1.0
    return _alike_members(ours, theirs)


def _alike_members(ours: object, theirs: object) -> float:
    if type(ours) is not type(theirs):
        return 0.0
    if isinstance(ours, str) and isinstance(theirs, str):
        if ours == theirs:
            return 1.0
        start, end = shared(ours, theirs)
        return (start + end) / max(len(ours), len(theirs))
    return 1.0 if ours == theirs else 0.0


def shared(ours: str, theirs: str) -> tuple[int, int]:
    """How many characters two texts have in common at their beginning, and at the end of the rest."""
    most = min(len(ours), len(theirs))
    start = _common(ours, theirs, most)
    end = _common(ours[::-1], theirs[::-1], most - start)
    return start, end


def _common(ours: str, theirs: str, most: int) -> int:
    """The length of the common prefix, of at most `most`, by halves: comparing slices is the fast way."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if ours[low:middle] == theirs[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
