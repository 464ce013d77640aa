"""Asking before a simulation costs more than it may."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from autograms.errors import BudgetError

if TYPE_CHECKING:
    from autograms.conversation.record import Memory
    from autograms.simulation.budget import Budget
    from autograms.simulation.scenarios import Scenario
    from autograms.simulation.simulator import Simulator

__all__ = ["agree_to_spend"]


def agree_to_spend(
    simulator: Simulator,
    scenarios: Sequence[Scenario],
    budget: Budget,
    *,
    yes: bool,
    journal: Path,
    previous: Sequence[Memory],
    fresh: bool,
    chatbot_memory: str | None,
    user_memory: str | None,
) -> None:
    """Plan a simulation that has a budget; where the estimate is above it, ask in a terminal, and refuse elsewhere.

    Args:
        simulator: The programs.
        scenarios: The conversations.
        budget: What may be spent.
        yes: Go on in any case, until the budget is spent.
        journal: As in ``Simulator.run``.
        previous: As in ``Simulator.run``.
        fresh: As in ``Simulator.run``.
        chatbot_memory: As in ``Simulator.run``.
        user_memory: As in ``Simulator.run``.

    Raises:
        BudgetError: Where the estimate is above the budget and nobody agreed.
    """
    from autograms.simulation.plan import ensure_within, plan

    if not budget or yes:
        return
    found = plan(
        simulator,
        scenarios,
        journal=journal,
        previous=previous,
        fresh=fresh,
        chatbot_memory=chatbot_memory,
        user_memory=user_memory,
    )
    try:
        ensure_within(found, budget, remedy="--yes")
    except BudgetError as error:
        if not sys.stdin.isatty():
            raise
        if not typer.confirm(f"{error}\nGo on until the budget is spent?"):
            raise typer.Abort from None
