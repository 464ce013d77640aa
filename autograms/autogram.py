"""``Autogram``: a program with its settings and its model, in any number of conversations.

A memory belongs to no process: its program goes on where it still lives, and anywhere else it is run again against
what the memory recorded.
"""

from __future__ import annotations

import inspect
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from autograms.conversation import saved
from autograms.conversation.checking import check
from autograms.conversation.record import Memory, Turn
from autograms.errors import DivergenceError, ProgramError, ProgramFileError
from autograms.models import resolve_model
from autograms.models.base import Model
from autograms.program.context import Caller, Context, current_or_none
from autograms.program.decorators import refuse_suspending
from autograms.program.driver import drive
from autograms.program.effects import FINISHED
from autograms.program.greenlets import end
from autograms.program.loading import LoadedProgram, load_autogram, load_program
from autograms.program.outside import drive_here, use_config
from autograms.program.replay import Root, call_external, enter, finish, keywords_text, move, replay
from autograms.program.watchdog import guarded
from autograms.settings import AutogramConfig

__all__ = ["Autogram", "AutogramsReturn", "load_autogram", "use_config"]


@dataclass(slots=True)
class AutogramsReturn:
    """What :meth:`Autogram.apply` returns.

    Attributes:
        memory_object: The conversation's memory.
        reply: What the user sees, ``None`` where the program ended.
        data: What ``reply(data=)`` or ``EXIT`` handed over.
        func_return: What the function returned that ``apply(function=)`` ran.
    """

    memory_object: Memory
    reply: str | None = None
    data: Any = None
    func_return: Any = None


class Autogram:
    """A program with its settings and its model.

    Args:
        root_function: The program's root, usually ``chatbot``.
        autogram_config: How models are asked.
        model: The model, which then decides too, or its ``provider/model`` name, beside which the configuration's
            classifier decides; the configuration's where unset.
        supervisor_mode: Whether supervisors act.
        test_mode: Answer every call by the embedded offline model.
        name: The program's name; its file's stem where unset.
        api_keys: Keys by provider, for example ``{"openai": "..."}``.
        on_change: What a memory does whose program has changed since: ``"error"``, or ``"address"`` to go on at
            the ``ADDRESS`` of the call that it was suspended at.
        side: ``chatbot`` or ``user``, for the record.
        classifier: The model that decides; the configuration's where unset.
    """

    def __init__(
        self,
        root_function: Callable[..., Any],
        autogram_config: AutogramConfig | None = None,
        model: Model | str | None = None,
        *,
        supervisor_mode: bool = False,
        test_mode: bool = False,
        name: str | None = None,
        api_keys: dict[str, str] | None = None,
        on_change: Literal["error", "address"] = "error",
        side: str = "chatbot",
        classifier: Model | None = None,
    ) -> None:
        if not callable(root_function):
            raise ProgramFileError(f"root_function={root_function!r}: expected the program's root function")
        refuse_suspending(root_function)
        self.root_function = root_function
        self.config = autogram_config or AutogramConfig()
        self.supervisor_mode = supervisor_mode
        self.on_change = on_change
        self.side = side
        self.program: LoadedProgram | None = getattr(root_function, "__autograms_program__", None)
        plain_name = getattr(root_function, "__name__", type(root_function).__name__)
        self.name = name or (self.program.path.stem if self.program else plain_name)
        plain_module = getattr(inspect.unwrap(root_function), "__globals__", {})
        self._root = Root(self.name, root_function, vars(self.program.module) if self.program else plain_module)
        self._api_key = (api_keys or {}).get("openai")
        self._model: Model | str = "offline/demo" if test_mode else model or self.config.chatbot_model
        one_for_all = test_mode or not (model is None or isinstance(model, str))
        self._classifier: Model | str | None = classifier or (None if one_for_all else self.config.classifier_model)
        self._init_done = False

    @classmethod
    def from_file(cls, path: str | Path, autogram_config: AutogramConfig | None = None, **options: Any) -> Autogram:
        """Load a program's file and return its autogram.

        Args:
            path: The file.
            autogram_config: How models are asked.
            **options: Further arguments of :class:`Autogram`.

        Raises:
            ProgramFileError: Where the file cannot be loaded.
        """
        return cls(load_program(path).root, autogram_config, **options)

    @property
    def model(self) -> Model:
        """The model that answers."""
        if isinstance(self._model, str):
            self._model = self._resolve(self._model)
        return self._model

    @property
    def classifier(self) -> Model | None:
        """The model that decides, ``None`` where it is the one that answers."""
        if isinstance(self._classifier, str):
            self._classifier = self._resolve(self._classifier)
        return self._classifier

    @property
    def files(self) -> list[str]:
        """The program's source files, as they stand in tracebacks."""
        if self.program is not None:
            return self.program.files
        code = getattr(inspect.unwrap(self.root_function), "__code__", None)
        return [code.co_filename] if code is not None else []

    def _resolve(self, name: str) -> Model:
        config = self.config
        return resolve_model(name, base_url=config.endpoint, api_key=self._api_key, max_tries=config.chatbot_max_tries)

    def run_init(self) -> None:
        """Run the file's ``init_chatbot()`` unless it has run: once, before the first conversation."""
        if not self._init_done and self.program is not None and self.program.init is not None:
            with use_config(self.config, self.model):
                self.program.init()
        self._init_done = True

    # ---------------------------------------------------------------------------------------------- conversations

    def reply(
        self, user_reply: str | None = None, memory_object: Memory | None = None, **kwargs: Any
    ) -> tuple[str | None, Memory]:
        """Take one turn: hand the user's text to the program and return what it says.

        Args:
            user_reply: The user's text, ``None`` where the program speaks first.
            memory_object: The conversation's memory, ``None`` for a new one.
            **kwargs: Keywords for the root function where it starts.

        Returns:
            The reply, ``None`` where the program ended, and the memory. After an error the memory is as it was.

        Raises:
            AutogramsError: And whatever the program itself raises.
        """
        memory = memory_object if memory_object is not None else self.new_memory()
        with _TurnOf(memory):
            context = self.attach(memory)
            effect = drive_here(context, self.begin_turn(context, user_reply, kwargs))
            return self.end_turn(context, effect), memory

    async def areply(
        self, user_reply: str | None = None, memory_object: Memory | None = None, **kwargs: Any
    ) -> tuple[str | None, Memory]:
        """Do as :meth:`reply` does, inside a running event loop."""
        memory = memory_object if memory_object is not None else self.new_memory()
        with _TurnOf(memory):
            context = self.attach(memory)
            effect = await drive(context, self.begin_turn(context, user_reply, kwargs))
            return self.end_turn(context, effect), memory

    def apply(
        self,
        user_reply: str | None = None,
        memory_object: Memory | None = None,
        function: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> AutogramsReturn:
        """Take one turn, or run a function of the program in the conversation from outside.

        Args:
            user_reply: As in :meth:`reply`.
            memory_object: As in :meth:`reply`.
            function: A function of the program's module; its history vanishes, the user globals that it sets stay.
            **kwargs: Keywords for the function, or for the root function where it starts.

        Raises:
            ProgramError: Where the function cannot be found again by its name, which a resumed memory must do.
        """
        if function is None:
            text, memory = self.reply(user_reply, memory_object, **kwargs)
            data = memory.turns[-1].data
            return AutogramsReturn(memory, text, None if data is None else orjson.loads(data))
        memory = memory_object if memory_object is not None else self.new_memory()
        with _TurnOf(memory):
            context = self.attach(memory)
            return AutogramsReturn(memory, func_return=call_external(context, self._root, function, kwargs))

    def new_memory(self) -> Memory:
        """Return the memory of a new conversation, whose ``random`` has a seed of its own."""
        outer = current_or_none()
        source = random.SystemRandom() if outer is None else outer.random
        return Memory(autogram=self.name, seed=source.getrandbits(63))

    def serialize(self, memory: Memory) -> str:
        """Return a memory as JSON text, which :meth:`deserialize` reads in any process.

        Raises:
            RecordError: Where the root function was given keywords that are no plain data.
        """
        return saved.dumps(memory)

    def deserialize(self, text: str) -> Memory:
        """Read a memory from its JSON text. Its program runs again at the next reply.

        Raises:
            RecordError: Where the text is no saved memory.
        """
        return saved.loads(text)

    # --------------------------------------------------------------------------------------- the steps of one turn

    def attach(self, memory: Memory, *, caller: Caller | None = None) -> Context:
        """Return the live context of a memory: the one that is there, or one that is made by a replay.

        Raises:
            DivergenceError: Where the program has changed and asks for something else than what was recorded.
        """
        live = memory.live
        if live is not None and live.owner is self and live.thread is _this_thread():
            return live.context
        self.run_init()
        check(memory)
        context = self._context(memory, caller)
        if memory.turns:
            try:
                replay(context, self._root)
            except DivergenceError:
                if self.on_change != "address":
                    raise
                context = self._context(memory, caller)
                move(context, self._root)
        memory.live = _Live(self, context)
        return context

    def release(self, memory: Memory) -> None:
        """End the program that lives on in a memory; the memory stays, and a later turn runs the program again.

        Its ``finally`` blocks run now and record nothing; left alone, they run whenever garbage is collected.
        """
        live, memory.live = memory.live, None
        if live is None or live.owner is not self or live.thread is not _this_thread():
            return
        program, context = live.context.greenlet, live.context
        if program:
            with suppress(Exception):
                guarded(end, context.config.watchdog_seconds, program)
        context.greenlet = None

    def begin_turn(self, context: Context, user_reply: str | None, kwargs: dict[str, Any]) -> Any:
        """Hand the user's text to the program; return its first effect."""
        memory = context.memory
        if user_reply is not None:  # half a surrogate pair is no text that could be stored
            user_reply = user_reply.encode("utf-8", "replace").decode()
        starts = context.greenlet is None or context.greenlet.dead
        text = keywords_text(memory, kwargs) if starts else None
        memory.turns.append(Turn("user", user_reply, context.next_call, kwargs=text))
        # The root gets what a resume will hand it: a tuple, for one, comes back as a list.
        return enter(context, self._root, user_reply, orjson.loads(text) if text else kwargs)

    def end_turn(self, context: Context, effect: Any) -> str | None:
        """Return what the program said in the turn that has ended."""
        if effect is FINISHED:
            finish(context)
        return context.memory.turns[context.next_turn - 1].content

    def _context(self, memory: Memory, caller: Caller | None) -> Context:
        return Context(
            memory,
            self.config,
            self.model,
            classifier=self.classifier,
            supervisor_mode=self.supervisor_mode,
            side=self.side,
            caller=caller,
        )


_threads = threading.local()


def _this_thread() -> object:
    """Return what stands for this thread alone; the system gives the number of one that ended to the next."""
    try:
        return _threads.token
    except AttributeError:
        _threads.token = object()
        return _threads.token


class _Live:
    """A suspended program: whose it is, and the thread that its greenlet lives in."""

    __slots__ = ("context", "owner", "thread")

    def __init__(self, owner: Autogram, context: Context) -> None:
        self.owner = owner
        self.context = context
        self.thread = _this_thread()


class _TurnOf:
    """Keeps a memory to one turn at a time, and as it was where the turn fails."""

    __slots__ = ("memory", "sizes", "unsaveable")

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def __enter__(self) -> None:
        memory = self.memory
        if memory.busy:
            raise ProgramError("a turn of this conversation is under way already; wait for it before the next one")
        memory.busy = True
        self.sizes = len(memory.messages), len(memory.history), len(memory.calls), len(memory.turns)
        self.unsaveable = memory.unsaveable

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        memory = self.memory
        memory.busy = False
        if kind is not None:  # the program is made anew, by a replay, when it is needed
            messages, history, calls, turns = self.sizes
            del memory.messages[messages:], memory.history[history:], memory.calls[calls:], memory.turns[turns:]
            memory.unsaveable, memory.live = self.unsaveable, None
