"""Branches side by side, recorded steps, random numbers, user globals, a caught error, a restart of the root."""

import random

from autograms import autograms_function
from autograms.functional import *
from autograms.memory import init_user_globals
from autograms.supervisors import SupervisorReturn

ug = init_user_globals()
ug["runs"] = 0


def tool(n):
    if n == 2:
        raise ValueError("two")
    return {"n": n}


def better(instruction):
    return SupervisorReturn(silent_thought("Better."))


def work(n):
    try:
        found = step(tool, n)
    except ValueError as error:
        found = str(error)
    return [found, thought(f"Work {n}.", supervisor=better), random.randrange(1000)]


@autograms_function()
def chatbot(name="nobody"):
    ug["runs"] += 1
    reply(f"{name} {ug['runs']} {random.random():.3f}")
    reply(str(parallel_wrapper(work, [{"n": n} for n in range(3)])))
