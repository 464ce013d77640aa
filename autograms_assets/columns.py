"""What the columns of the stored tables hold, in the words that Dagster's UI shows beside them.

A column of one name holds the same in every table. What does not belong here: the columns' types, which are each
table's schema.
"""

__all__ = ["COLUMNS"]

_PROGRAMS = {
    "role": "the chatbot, the userbot, a module that one of them imports, or a data file that they open",
    "file": "path inside the project",
    "source": "the source text; empty for a data file",
    "digest": "hash of the syntax tree, so that comments and layout do not count; of a data file, of its content",
}
_SCENARIOS = {
    "key": "hash of the scenario; the rows that come of it name it",
    "num_turns": "how often the user speaks",
    "chatbot_kwargs": "the chatbot's arguments, as JSON",
    "user_kwargs": "the userbot's arguments, as JSON",
    "user_goes_first": "whether the user speaks first",
    "seed": "seed of the conversation's random",
}
_MEMORIES = {
    "version": "version of the record's schema",
    "autogram": "the program's name",
    "scenario": "key of the scenario",
    "fingerprint": "hash of all that the simulation depended on",
    "status": "completed, failed or truncated",
    "error": "of a failed conversation: the exception",
    "error_message": "its message",
    "error_place": "the program's line",
    "error_side": "whose program failed: chatbot or user",
    "scenario_data": "the scenario, as JSON",
    "branch": "which branch of the scenario's conversation this is; null for the conversation itself",
    "findings": "what the user's program did wrong",
    "turns": "what was said, in order",
    "messages": "the distinct messages, which history and calls refer to",
    "history": "which message follows which",
    "calls": "the model calls: prompt, answer, supervisor, score, price",
}
_ROWS = {
    "id": "of the row, the same whenever it is built again",
    "call": "number of the call in its conversation",
    "primitive": "what the program asked for: a reply, a thought, a decision",
    "place": "where the call stands in the program",
    "split": "train or validation",
    "kind": "text, choice, JSON or calls of tools: what the answer must be",
    "prompt": "the messages that the deployed program sends",
    "completion": "the answer that is trained",
    "chosen": "the better answer",
    "rejected": "the answer that a supervisor rejected",
    "choices": "of a decision: the answers that there are",
    "schema": "of a structured answer: its JSON schema",
    "supervisor": "who gave the answer; null for the model itself",
    "score": "the supervisor's",
    "tags": "the supervisor's and the call's",
    "model": "the model that was asked",
    "cost_usd": "what the call cost, US dollars",
    "tools": "the tools that the call offered the model, as JSON",
}
_BOARD = {
    "sft.eval_loss_before": "loss of the base model on held-out rows",
    "sft.eval_loss_after": "loss of the SFT model on held-out rows",
    "sft.exact_match_before": "share of held-out rows that the base model answers word for word",
    "sft.exact_match_after": "share of held-out rows that the SFT model answers word for word",
    "dpo.preference_accuracy": "share of held-out pairs whose better answer the DPO model finds likelier",
    "dpo.margin": "mean reward of the better answer less that of the rejected one",
    "dpo.exact_match_after": "share of held-out rows that the DPO model answers word for word",
}

COLUMNS = {**_PROGRAMS, **_SCENARIOS, **_MEMORIES, **_ROWS, **_BOARD}
"""Column name to what it holds."""
