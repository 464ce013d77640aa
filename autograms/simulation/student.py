"""The student beside the supervisor: what the student's model answers to the same prompt, kept as the rejected answer.

What does not belong here: the rows that are made of it (``autograms.datasets``).
"""

from __future__ import annotations

import json

from autograms.conversation.record import STUDENT, Call, Memory
from autograms.conversation.tool_calls import TOOL_CALLS, tool_calls_output
from autograms.errors import OutputError
from autograms.models.base import Kind, Model, Reply, Request, read_output
from autograms.program.side_by_side import side_by_side
from autograms.simulation.ledger import ConversationLedger

__all__ = ["ask_student"]


async def ask_student(memory: Memory, model: Model, ledger: ConversationLedger) -> None:
    """Ask the student what supervisors answered for the chatbot; answers that differ are kept as rejected ones.

    The student's calls are appended to the record, and train nothing themselves. An answer that is none of the
    choices, or not the JSON asked for, is recorded with its error and is no rejected one: no row could hold it. Nor is
    one that calls tools where the supervisor answered.

    Args:
        memory: The conversation.
        model: The student.
        ledger: The conversation's ledger.

    Raises:
        Stopped: Where the budget is spent.
        ModelError: Where the student's endpoint fails.
    """
    supervised = [(index, call) for index, call in enumerate(memory.calls) if call.supervised and call.trains]
    work = (_ask(memory, index, call, model, ledger) for index, call in supervised)
    answers = await side_by_side(work, ledger.alongside)
    for (_, call), answer in zip(supervised, answers, strict=True):
        memory.calls.append(answer)
        if (
            answer.error is None
            and answer.kind == call.kind
            and answer.output != call.output
            and answer.output not in call.rejected
        ):
            call.rejected = (*call.rejected, answer.output or "")


async def _ask(memory: Memory, index: int, call: Call, model: Model, ledger: ConversationLedger) -> Call:
    kind: Kind = call.kind  # type: ignore[assignment]
    request = Request(
        kind,
        memory.prompt_messages(call.prompt),
        call.choices,
        None if call.schema is None else json.loads(call.schema),
        call.primitive,
        params={name: value for name, value in json.loads(call.params or "{}").items() if name != "model"},
    )
    answer = Call(STUDENT, call.kind, call.prompt, None, STUDENT, call.choices, call.schema, call.place, index)
    reply: Reply = await ledger.ask_beside(answer, request, model)
    if reply.tool_calls:
        answer.kind, answer.output = TOOL_CALLS, tool_calls_output(reply.text, reply.tool_calls)
    try:
        answer.output = answer.output or read_output(request, reply.text)
    except OutputError as error:
        answer.output, answer.error = reply.text, f"{type(error).__name__}: {error}"
    answer.model, answer.cost_usd = reply.model, reply.cost_usd
    answer.input_tokens, answer.output_tokens = reply.input_tokens, reply.output_tokens
    return answer
