"""Jumps: what ``GOTO`` and ``RETURNTO`` raise, and what a rewritten function needs to follow them.

What does not belong here: the rewriting itself (``rewrite``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["Frame", "Jump", "Loop"]


class Jump(BaseException):
    """Travels up to the function that carries the address. Not an ``Exception``, so that programs do not catch it.

    Args:
        frame: The function call to go to.
        address: The address in it.
    """

    def __init__(self, frame: Frame, address: str) -> None:
        super().__init__(address)
        self.frame = frame
        self.address = address


class Frame:
    """One running call of a decorated function.

    Attributes:
        name: The function's name.
        addresses: The addresses that a jump can reach in it.
        address: The address of the statement that runs now, where it carries one.
        arriving: Whether a resume goes on behind the call of that statement, which is not made again.
    """

    __slots__ = ("address", "addresses", "arriving", "name")

    def __init__(self, name: str, addresses: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.addresses = addresses
        self.address: str | None = None
        self.arriving = False

    def at(self, address: str | None) -> bool:
        """Note the address of the statement that runs now; return ``False``, so that a condition can hold it."""
        self.address = address
        return False

    def arrived(self) -> bool:
        """Tell, once, whether a resume has just come to the call that it goes on behind."""
        arriving, self.arriving = self.arriving, False
        return arriving

    def leave(self) -> None:
        """Take the note back: the statement is behind."""
        self.address, self.arriving = None, False

    def accept(self, jump: Jump) -> str:
        """Return the address to go to, or pass a jump on that is meant for another function."""
        if jump.frame is not self:
            raise jump
        self.leave()
        return jump.address


class Loop:
    """A ``for`` loop's iterator, which a jump into the body does not advance."""

    __slots__ = ("_iterator", "_skip")

    def __init__(self, iterable: Iterable[Any]) -> None:
        self._iterator = iter(iterable)
        self._skip = False

    def first(self) -> tuple[Any, ...]:
        """Return the first item, to bind the loop's variable where a jump enters a loop that never ran."""
        for item in self._iterator:
            return (item,)
        return ()

    def resume(self, jumped: bool) -> Loop:
        """Iterate on; after a jump the first round goes without an item."""
        self._skip = jumped
        return self

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._skip:
            self._skip = False
            return None
        return next(self._iterator)
