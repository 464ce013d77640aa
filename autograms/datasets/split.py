"""Which conversations train and which are held out.

What belongs here: the rule that puts whole groups of conversations on one side. What does not: the rows, and
rows of equal text on both sides (``build``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from autograms.conversation.record import Memory

__all__ = ["TRAIN", "VALIDATION", "group_key", "split_groups"]

TRAIN = "train"
VALIDATION = "validation"
_SCALE = float(2**64)


def group_key(memory: Memory) -> str:
    """Return what conversations of one group share: the scenario, or, outside simulations, what was said."""
    if memory.scenario:
        return memory.scenario
    digest = hashlib.blake2b(digest_size=12)
    for turn in memory.turns:
        digest.update(f"{turn.role}\0{turn.content}\0".encode(errors="surrogatepass"))
    return f"conversation {digest.hexdigest()}"


def split_groups(
    groups: Mapping[str, bool] | Iterable[str], *, fraction: float, seed: int, always: Collection[str] = ()
) -> dict[str, str]:
    """Return the side of each group: ``train`` or ``validation``.

    A group's side depends on its name and the seed alone, so that new scenarios move no old one, with one
    exception: where nothing (or nothing with preference pairs) would be held out, or nothing would train, the
    group nearest to the border changes sides.

    Args:
        groups: The groups; a mapping tells which of them have preference pairs.
        fraction: Share to hold out; 0 holds out nothing.
        seed: Seed of the split.
        always: Groups that are held out whatever their place.
    """
    pairs = dict(groups) if isinstance(groups, Mapping) else dict.fromkeys(groups, False)
    place = {group: _place(group, seed) for group in pairs}
    ordered = sorted(place, key=lambda group: (place[group], group))
    held = {group for group in ordered if place[group] < fraction or group in always}
    if fraction > 0 and len(ordered) >= 2:
        for candidates in ([group for group in ordered if pairs[group]], ordered):
            _both_sides(held, candidates, always)
    return {group: VALIDATION if group in held else TRAIN for group in pairs}


def _both_sides(held: set[str], ordered: list[str], always: Collection[str]) -> None:
    if len(ordered) >= 2 and not held.intersection(ordered):
        held.add(ordered[0])
    elif len(ordered) >= 2 and held.issuperset(ordered):
        held.difference_update([group for group in ordered if group not in always][-1:])


def _place(group: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}\0{group}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _SCALE
