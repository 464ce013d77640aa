"""Helps a reader with an article: summarises it, then answers questions, politely.

Simulated with a large model and its supervisors, the conversations teach a small model to summarise in one step what
the teacher summarised in three, and to write formally without being told so.
"""

from autograms import autograms_function
from autograms.functional import reply_instruction, set_system_prompt, silent_thought
from autograms.supervisors import SupervisorReturn


def reasoned_summary(instruction, article):
    """Supervisor of the summary: findings first, then why they matter, then the text."""
    findings = silent_thought(f"{article}\n\nWhat does this text find? List the main points.")
    relevance = silent_thought(f"{article}\n\nMain points:\n{findings}\n\nWhy do they matter to a lay reader?")
    summary = silent_thought(
        f"{instruction} in three sentences at the most.\n\n{article}\n\nMain points:\n{findings}\n\n"
        f"Relevance:\n{relevance}"
    )
    return SupervisorReturn(summary, tags=["summary"])


def make_formal(instruction):
    """Supervisor of an answer: the formal one is preferred to the informal one."""
    formal = silent_thought(f"{instruction} Write formally.")
    informal = silent_thought(f"{instruction} Write casually, as to a friend.")
    return SupervisorReturn(formal, rejected_output=informal, tags=["answer"])


@autograms_function()
def chatbot(article):
    # The supervisors take the article as an argument. The deployed program, and the student with it, reads it here.
    set_system_prompt(f"You help a reader with this article:\n\n{article}")
    summary = silent_thought("Summarize the article", supervisor=reasoned_summary, article=article)
    reply_instruction(f"Welcome the reader, and give them this summary: {summary}", supervisor=make_formal)
    while True:
        reply_instruction("Respond to the reader.", supervisor=make_formal)
