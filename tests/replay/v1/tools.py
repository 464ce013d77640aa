"""Tools: several at once, one that fails, refused calls, an async one, a supervisor behind them, scopes."""

from autograms import autograms_function
from autograms.functional import *
from autograms.supervisors import SupervisorReturn


def lookup(order: int, detail: bool = False) -> dict:
    """Look an order up.

    Args:
        order: Its number.
        detail: Whether all of it is wanted.
    """
    if order > 9:
        raise LookupError(f"no order {order}")
    return {"order": order, "status": "shipped"}


async def clock() -> str:
    """Tell the time."""
    return "noon"


def formal(instruction):
    return SupervisorReturn(silent_thought("Write formally."), score=0.5, rejected_output="dunno", tags=["formal"])


@autograms_function(conv_scope="normal")
def aside():
    return thought("Check the clock.", tools=[clock])


@autograms_function()
def chatbot():
    set_system_prompt("You help with orders.")
    reply("Hello.")
    reply_instruction("Help.", tools=[lookup, clock], supervisor=formal)
    aside()
    reply_instruction("Help more.", tools=[lookup])
    silent_thought("Quietly.", tools=[clock], max_turns=1)
    reply_suffix("Anything else?", tools=[clock, lookup], max_tool_rounds=3)
    thought("Sum up.")
    while True:
        reply_instruction("Close.", tools=[clock], supervisor=formal)
