"""What a simulation may spend: calls and US dollars.

A call is paid only where the budget holds it together with those that are under way, which are counted with the
longest answer so far: a budget in dollars is kept as well as tokens can be foreseen. What does not belong here:
estimating a simulation before it begins (``plan``).
"""

from __future__ import annotations

from dataclasses import dataclass

from autograms.errors import BudgetError
from autograms.models.base import Reply, Request
from autograms.models.prices import price_of

__all__ = ["Budget", "Purse"]

_CHARACTERS_PER_TOKEN = 3
"""Fewer than most texts have, so that the money set aside is rather too much than too little."""
_TOKENS_PER_MESSAGE = 4
_WRITTEN = 150
"""Tokens that an answer is expected to have before any was counted."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one simulation may spend; ``None`` for any amount.

    Attributes:
        usd: US dollars.
        calls: Paid model calls.
    """

    usd: float | None = None
    calls: int | None = None

    def __bool__(self) -> bool:
        return self.usd is not None or self.calls is not None

    def __str__(self) -> str:
        parts = [f"${self.usd:g} (budget_usd)"] if self.usd is not None else []
        parts += [f"{self.calls} calls (budget_calls)"] if self.calls is not None else []
        return " and ".join(parts) or "no limit"


class Purse:
    """A budget while it is spent.

    Args:
        budget: What may be spent.
        batch: Whether the calls go through the batch API, at its price.

    Attributes:
        empty: Whether a call was refused.
    """

    def __init__(self, budget: Budget, *, batch: bool = False) -> None:
        self.budget = budget
        self._batch = batch
        self.empty = False
        self._calls = 0
        self._spent = 0.0
        self._reserved = 0.0
        self._longest = 0

    def reserve(self, request: Request, model: str) -> float | None:
        """Set money aside for a call; return how much, or ``None`` where the budget does not hold the call.

        Raises:
            BudgetError: Where dollars are limited and the model has no price.
        """
        expected = 0.0 if self.budget.usd is None else self._expected(request, model)
        return expected if self.take(expected) else None

    def settle(self, reserved: float, reply: Reply | None) -> None:
        """Take note of what a call cost, or that it failed."""
        if reply is None:
            self.put(reserved)
        else:
            self._longest = max(self._longest, reply.output_tokens)
            spent = reserved if reply.cost_usd is None else reply.cost_usd
            self.put(reserved, spent=spent, further_calls=reply.tries - 1)

    def take(self, expected: float) -> bool:
        """Set aside a call, and so many dollars; return whether the budget holds them."""
        budget = self.budget
        over_calls = budget.calls is not None and self._calls >= budget.calls
        over_usd = budget.usd is not None and self._spent + self._reserved + expected > budget.usd
        if over_calls or over_usd:
            self.empty = True
            return False
        self._calls += 1
        self._reserved += expected
        return True

    def put(self, reserved: float, *, spent: float = 0.0, further_calls: int = 0) -> None:
        """Put back what was set aside for a call, and take what it cost."""
        self._reserved -= reserved
        self._spent += spent
        self._calls += further_calls

    def _expected(self, request: Request, model: str) -> float:
        price = price_of(model, batch=self._batch)
        if price is None and not model.startswith("openai/"):
            return 0.0
        if price is None:
            raise BudgetError(
                f"budget_usd is set, and the price of {model} is not known; add it to the file that AUTOGRAMS_PRICES "
                "names, or set budget_calls instead"
            )
        letters = sum(len(str(message.get("content"))) for message in request.messages)
        letters += len(str(request.params.get("tools") or ""))
        read = letters // _CHARACTERS_PER_TOKEN + _TOKENS_PER_MESSAGE * len(request.messages)
        return price.cost(read, self._longest or request.params.get("max_tokens") or _WRITTEN)
