"""The live state of one running program: where it stands in its conversation, and its journal.

A program's calls and turns are looked up in the memory before anything is asked of the world. While the memory
still holds the next one, the program is being replayed: it is handed what was recorded, after a check that it asks
for the same. Behind the last one it is live, and what it does is appended. Resuming is nothing else.

What belongs here: the journal's cursor, scopes' raw state. What does not: the messages (``history``), switching between
driver and program (``driver``), jumps (``jumps``), the primitives' meaning (``autograms.primitives``).
"""

from __future__ import annotations

import copy
import os
import random
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from greenlet import GreenletExit, getcurrent, greenlet

from autograms.conversation.record import NONE, Call, Memory, Turn
from autograms.errors import DivergenceError, ProgramError, RunawayError, SupervisorError
from autograms.models.base import Model, Reply, Request
from autograms.program.effects import RELEASED, SAID, Released
from autograms.program.history import History
from autograms.program.jumps import Frame
from autograms.program.watchdog import Halt, go_on
from autograms.settings import AutogramConfig

__all__ = ["Caller", "Context", "Program", "ambient", "current", "current_or_none"]

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep
_OURS: dict[str, bool] = {}
"""Whether a source file is this package's."""


class Caller(Protocol):
    """How a context's model calls are made; the simulator puts its cache and journal here."""

    async def complete(self, context: Context, call: Call, request: Request) -> Reply:
        """Answer a request, the text in canonical form."""
        ...

    async def embed(self, context: Context, call: Call, texts: list[str], model: str) -> list[list[float]]:
        """Embed texts."""
        ...

    async def step(self, context: Context, call: Call, function: Callable[[], Any]) -> Any:
        """Run a step's function and return its result."""
        ...

    def alongside(self, more: int) -> None:
        """Take note that so many more, or fewer, programs run at the same time."""
        ...


class Program(greenlet):
    """A greenlet that knows its context."""

    context: Context


class Context(History):
    """The live state of one program in one conversation.

    Args:
        memory: The record to replay and to append to.
        config: How the program asks its model.
        model: The model that answers.
        classifier: The model that decides; the same where unset.
        supervisor_mode: Whether supervisors act.
        side: ``chatbot`` or ``user``, for the record.
        caller: How model calls are made; straight to the model where unset.
    """

    __slots__ = (
        "address_path",
        "branch",
        "caller",
        "classifier",
        "config",
        "driver",
        "frames",
        "globals",
        "greenlet",
        "halted",
        "model",
        "next_call",
        "next_turn",
        "parallels",
        "parent_call",
        "perform",
        "prefix",
        "rng",
        "root_kwargs",
        "side",
        "suffix",
        "supervisor_mode",
        "turn_calls",
        "user_text",
        "warned",
    )

    def __init__(
        self,
        memory: Memory,
        config: AutogramConfig,
        model: Model,
        *,
        classifier: Model | None = None,
        supervisor_mode: bool = False,
        side: str = "chatbot",
        caller: Caller | None = None,
    ) -> None:
        super().__init__(memory, config.default_prompt)
        self.config = config
        self.model = model
        self.supervisor_mode = supervisor_mode
        self.classifier = classifier
        self.side = side
        self.caller = caller
        self.frames: list[Frame] = []
        self.globals: dict[str, Any] = {}
        self.rng: random.Random | None = None
        self.next_call = 0
        self.next_turn = 0
        self.parent_call: int | None = None
        self.turn_calls = 0
        self.root_kwargs: dict[str, Any] = {}
        self.user_text: str | None = None
        self.greenlet: Program | None = None
        self.perform: Callable[[Context, Any], Any] | None = None
        self.driver: greenlet | None = None
        self.warned: set[str] | None = None
        self.address_path: list[str] | None = None
        self.halted: Exception | None = None
        self.branch: str | None = None
        self.parallels = 0
        self.prefix, self.suffix = _split_template(config.instruction_template)

    # ------------------------------------------------------------------------------------------------ journal

    @property
    def behind(self) -> bool:
        """Whether the memory still holds a call or a turn that the program has not come to."""
        return self.replaying or self.next_turn < len(self.memory.turns)

    @property
    def replaying(self) -> bool:
        """Whether the next call is one that the memory holds already."""
        return self.next_call < len(self.memory.calls)

    def recorded(
        self,
        primitive: str,
        ask: str,
        choices: tuple[str, ...] = (),
        schema: str | None = None,
        before: list[tuple[str, str, str | None]] | None = None,
    ) -> Call:
        """Return the recorded call at the cursor and step over it.

        Raises:
            DivergenceError: Where the program asks for something else than what was recorded.
        """
        memory = self.memory
        call = memory.calls[self.next_call]
        if (
            call.primitive != primitive
            or memory.messages[call.prompt.ask][1] != ask
            or call.choices != choices
            or call.schema != schema
            or (before is not None and before != [memory.messages[i] for i in memory.path(NONE, call.prompt.last)])
        ):
            raise self.halt(call, f"{primitive} {_short(ask)}" + (f" choices {list(choices)!r}" if choices else ""))
        self.next_call += 1
        return call

    def begin(self, call: Call) -> int:
        """Append a new call to the journal and return its index.

        Raises:
            RunawayError: Where the turn has made as many calls as one turn may.
        """
        if self.next_turn < len(self.memory.turns):
            ask = self.memory.messages[call.prompt.ask][1] if call.prompt.ask != NONE else ""
            raise self.halt(self.memory.turns[self.next_turn], f"{call.primitive} {_short(ask)}")
        limit = self.config.max_calls_per_turn
        self.turn_calls += 1
        if limit and self.turn_calls > limit:
            raise self._halted(
                RunawayError(
                    f"{call.place}: the program made {limit} calls in one turn without a reply; "
                    "end the turn with a reply, or raise max_calls_per_turn in the configuration"
                )
            )
        self.memory.calls.append(call)
        self.next_call += 1
        return self.next_call - 1

    def say(self, text: str | None, data: str | None = None) -> None:
        """End the turn: the user sees ``text``; returns when the user has answered.

        Raises:
            DivergenceError: Where the memory recorded something else at this step.
        """
        if self.arriving():
            return
        if self.parent_call is not None or self.branch is not None or self.greenlet is None:
            raise self._misplaced("a reply")
        turns = self.memory.turns
        if self.next_turn < len(turns):
            turn = turns[self.next_turn]
            if turn.role != "assistant" or turn.after != self.next_call or turn.content != text:
                raise self.halt(turn, f"reply {_short(text)}")
            self.next_turn += 1
            if text:
                self.log("assistant", text)
            if self.next_turn < len(turns) and turns[self.next_turn].role == "user":
                self.hear(turns[self.next_turn].content)  # a replay needs no driver to hand over what was answered
                go_on(self.config.watchdog_seconds)
                return
        else:
            if self.replaying:
                raise self.halt(self.memory.calls[self.next_call], f"reply {_short(text)}")
            turns.append(Turn("assistant", text, self.next_call, self._address(), data))
            self.next_turn += 1
            if text:
                self.log("assistant", text)
        self.switch(SAID)

    def hear(self, text: str | None) -> None:
        """Begin the turn in which the user said ``text``."""
        self.next_turn += 1
        self.turn_calls = 0
        if text is not None:
            self.user_text = text
            if text:
                self.log("user", text)

    def arriving(self) -> bool:
        """Tell whether a resume at an address has just come to the call that it goes on behind."""
        return bool(self.frames) and self.frames[-1].arrived()

    def refuse_inside(self, what: str) -> None:
        """Refuse what may not happen inside a supervisor, such as a jump.

        Raises:
            SupervisorError: Inside a supervisor.
        """
        if self.parent_call is not None:
            raise self._misplaced(what)

    def _misplaced(self, what: str) -> ProgramError:
        if self.parent_call is not None:
            return SupervisorError(
                f"{self.place()}: {what} inside a supervisor; a supervisor returns the output that it wants, "
                "and the primitive that it supervises goes on with it"
            )
        where = "parallel_wrapper" if self.branch is not None else "a function that runs outside the conversation"
        return ProgramError(f"{self.place()}: {what} inside {where}; return the text and reply with it afterwards")

    def _address(self) -> str | None:
        """Return the addresses of the statements that the program's functions stand in, joined, or ``None``."""
        addresses = [frame.address for frame in self.frames]
        return " > ".join(addresses) if addresses and all(addresses) else None  # type: ignore[arg-type]

    def halt(self, recorded: Call | Turn, asked: str) -> BaseException:
        """Return what ends the program because it asks for something else than what was recorded."""
        return self._halted(self.diverged(recorded, asked))

    def _halted(self, error: ProgramError) -> BaseException:
        if self.greenlet is None:
            return error
        self.halted = error
        return Halt(error)

    def diverged(self, recorded: Call | Turn, asked: str) -> DivergenceError:
        """Return the error that names the step, what the memory recorded there, and what the program asks now."""
        if isinstance(recorded, Turn):
            was = (
                f"the user's turn {_short(recorded.content)}"
                if recorded.role == "user"
                else (f"reply {_short(recorded.content)} after {recorded.after} calls")
            )
            step = f"turn {self.next_turn + 1}"
        else:
            ask = self.memory.messages[recorded.prompt.ask][1] if recorded.prompt.ask != NONE else ""
            was = f"{recorded.primitive} {_short(ask)}" + (f" at {recorded.place}" if recorded.place else "")
            step = f"call {self.next_call + 1}"
        return DivergenceError(
            f"the program of {self.memory.autogram or 'this conversation'} has changed: at {step} ({self.place()}) the "
            f"memory recorded {was}, the program now asks {asked}. Restore the program, start a new conversation, "
            'or give the suspended call an ADDRESS and resume with on_change="address"'
        )

    # -------------------------------------------------------------------------------------------- driver, program

    def switch(self, effect: Any) -> Any:
        """Hand an effect to the driver and return its result."""
        if self.greenlet is None and self.perform is not None:
            return self.perform(self, effect)
        if getcurrent() is not self.greenlet:
            raise ProgramError(
                "a primitive was used from another thread or greenlet than its program's; call it in the program "
                "itself, or pass the work to step() or parallel_wrapper()"
            )
        assert self.driver is not None
        result = self.driver.switch(effect)
        if result is RELEASED:
            raise Released
        return result

    def place(self) -> str | None:
        """Return ``function:line`` of the program's innermost line outside this package."""
        frame = sys._getframe(1)
        while frame is not None and _OURS.get(frame.f_code.co_filename, True):
            file = frame.f_code.co_filename
            if file not in _OURS:
                _OURS[file] = file.startswith(_PACKAGE)
            else:
                frame = frame.f_back  # type: ignore[assignment]
        return f"{frame.f_code.co_name}:{frame.f_lineno}" if frame is not None else None

    @property
    def random(self) -> random.Random:
        """The conversation's own random numbers."""
        if self.rng is None:
            self.rng = random.Random(f"{self.memory.seed}/{self.side}/{self.branch or ''}")
        return self.rng

    def fork(self, number: int) -> Context:
        """Return a context for one branch of ``parallel_wrapper``: the same past, a journal of its own."""
        memory = Memory(
            autogram=self.memory.autogram,
            seed=self.memory.seed,
            messages=self.memory.messages,
            history=self.memory.history,
            turns=list(self.memory.turns),
        )
        fork = Context(
            memory,
            self.config,
            self.model,
            classifier=self.classifier,
            supervisor_mode=self.supervisor_mode,
            side=self.side,
            caller=self.caller,
        )
        fork.pool, fork.nodes = self.pool, self.nodes
        fork.head, fork.system, fork.globals = self.head, self.system, copy.deepcopy(self.globals)
        fork.next_turn, fork.user_text = len(memory.turns), self.user_text
        fork.branch = self.branch_name(number)
        fork.touched = ([], [])
        return fork

    def branch_name(self, number: int) -> str:
        """Return the name of a branch of the running ``parallel_wrapper``, the same live and under replay."""
        return f"{self.branch or ''}/{self.parallels}.{number}"

    def unseen(self, names: Mapping[str, Any]) -> list[str]:
        """Return the names that this conversation has not been warned about yet, and remember them."""
        if self.warned is None:
            self.warned = set()
        fresh = [name for name in names if name not in self.warned]
        self.warned.update(fresh)
        return fresh


ambient: ContextVar[Context | None] = ContextVar("autograms_ambient", default=None)
"""A context outside programs: what ``use_config`` sets for the time that an ``init_chatbot()`` runs."""


def current() -> Context:
    """Return the context of the running program.

    Raises:
        ProgramError: Outside a running program.
    """
    context = getattr(getcurrent(), "context", None) or ambient.get()
    if context is None:
        raise ProgramError(
            "this function works inside a running program only: start one with Autogram(...).reply(), "
            "or wrap the call in `with use_config(AutogramConfig(...)):`"
        )
    if context.driver is None and context.perform is None:
        raise GreenletExit  # nobody waits for the program any more: its `finally` blocks must not go on recording
    return context


def current_or_none() -> Context | None:
    """Return the context of the running program, ``None`` outside one."""
    return getattr(getcurrent(), "context", None)


def _split_template(template: str) -> tuple[str, str]:
    """Split an instruction template at ``<instruction>``, AutoGRAMS' other placeholders left out."""
    for word in ("<last_response>", "<agent_name>"):
        template = template.replace(word, "")
    prefix, _, suffix = template.strip().partition("<instruction>")
    return prefix, suffix


def _short(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 120 else text[:117] + "...")
