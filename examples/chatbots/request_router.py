"""A request router: reads what somebody in a company asks for, and passes it on to one of eight departments.

The teacher is made of rules: the supervisor looks for the words that give a department away. The deployed program makes
one decision, so a student that was trained on these conversations must tell the departments apart by itself.
"""

import random

from autograms import autograms_function
from autograms.functional import extract_last_user_reply, multiple_choice, reply, set_system_prompt
from autograms.supervisors import SupervisorReturn

# Each department, and the words that belong to it.
DEPARTMENTS = {
    "payroll": ("salary", "payslip", "overtime", "bonus", "tax form"),
    "travel": ("flight", "hotel", "train ticket", "visa", "rental car"),
    "security": ("badge", "alarm", "stranger", "stolen", "locked out"),
    "computers": ("laptop", "password", "mailbox", "screen", "network"),
    "facilities": ("heating", "window", "desk", "lift", "coffee machine"),
    "training": ("course", "workshop", "certificate", "language class", "mentor"),
    "legal": ("contract", "lawsuit", "patent", "data protection", "signature"),
    "press": ("journalist", "interview", "newspaper", "photographer", "statement"),
}


def department_by_rule(question, choices, text):
    """Supervisor of the decision: the department whose words stand in the request; any other one is worse."""
    found = [name for name, words in DEPARTMENTS.items() if any(word in text.lower() for word in words)]
    if len(found) != 1:
        raise LookupError(f"the rules need exactly one department in the request; they found {found or 'none'}")
    wrong = random.choice([name for name in DEPARTMENTS if name != found[0]])
    return SupervisorReturn(found[0], rejected_output=wrong, score=1.0, tags=[found[0]])


@autograms_function(conv_scope="local")
def route(text):
    # A scope of its own: each request is routed for itself, however many came before.
    departments = list(DEPARTMENTS)
    chosen = multiple_choice(
        f"Request: {text}\nWhich department is responsible?",
        departments,
        supervisor=department_by_rule,
        supervisor_kwargs={"text": text},
    )
    return departments[chosen]


@autograms_function()
def chatbot():
    set_system_prompt("You route requests in a company.")
    if not extract_last_user_reply():
        reply("What is your request?")
    while True:
        reply(f"I pass your request on to the department: {route(extract_last_user_reply())}.")
