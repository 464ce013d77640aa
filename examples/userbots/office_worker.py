"""Somebody in an office who has a request: one of forty, from one of ten offices, opened in one of four ways."""

from autograms import autograms_function
from autograms.functional import reply

OPENINGS = (
    "Hello from {office}. {request}",
    "{request} I work in {office}.",
    "This is the {office} office. {request} Thank you.",
    "Could you help us in {office}? {request}",
)

REQUESTS = {
    "payroll": (
        "My salary has not been paid.",
        "I cannot find my last payslip.",
        "Nobody paid the overtime of March.",
        "When is the bonus paid?",
        "I need the tax form of last year.",
    ),
    "travel": (
        "Please book a flight for Monday.",
        "I need a hotel for two nights.",
        "My train ticket is for the wrong day.",
        "Who helps me to get a visa?",
        "The rental car was too small.",
    ),
    "security": (
        "My badge does not open the door.",
        "The alarm went off last night.",
        "A stranger is walking through the corridor.",
        "My bag was stolen at lunch.",
        "We are locked out of the building.",
    ),
    "computers": (
        "My laptop does not start.",
        "I forgot my password.",
        "My mailbox is full.",
        "The screen stays black.",
        "The network is very slow today.",
    ),
    "facilities": (
        "The heating is off and we freeze.",
        "A window does not close.",
        "I need a higher desk.",
        "The lift is stuck again.",
        "The coffee machine leaks.",
    ),
    "training": (
        "Is there a course about spreadsheets?",
        "I would like to join the workshop in May.",
        "I never got my certificate.",
        "When does the language class begin?",
        "I am looking for a mentor.",
    ),
    "legal": (
        "Somebody must check this contract.",
        "A customer threatens us with a lawsuit.",
        "May we use this patent?",
        "I have a question about data protection.",
        "Whose signature does this need?",
    ),
    "press": (
        "A journalist called twice today.",
        "They want an interview with our director.",
        "The newspaper wrote nonsense about us.",
        "A photographer wants to visit us.",
        "We need a statement for tomorrow.",
    ),
}


@autograms_function()
def chatbot(department, request, office, opening):
    text = REQUESTS[department][request]
    reply(OPENINGS[opening].format(office=office, request=text))
    while True:
        reply("Thank you.")
