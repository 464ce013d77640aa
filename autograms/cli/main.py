"""The entry of the command line: parses, runs one command, and turns what went wrong into one message and a status.

Exit statuses: 0 done; 2 a wrong flag, file, setting or model, with one message on stderr and no traceback; 130
interrupted, 143 terminated; anything else is that of the program a command started. What does not belong here: the
commands.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import typer

from autograms.cli.commands.batches import batches
from autograms.cli.commands.branch import branch
from autograms.cli.commands.chat import chat
from autograms.cli.commands.dataset import dataset
from autograms.cli.commands.dev import dev
from autograms.cli.commands.evaluate import evaluate
from autograms.cli.commands.export import export
from autograms.cli.commands.finetune import finetune
from autograms.cli.commands.graph import graph
from autograms.cli.commands.import_chats import import_chats
from autograms.cli.commands.init import init
from autograms.cli.commands.materialize import materialize
from autograms.cli.commands.plan import plan
from autograms.cli.commands.scenarios import scenarios
from autograms.cli.commands.serve import serve
from autograms.cli.commands.show import show
from autograms.cli.commands.simulate import simulate
from autograms.cli.commands.sync import sync
from autograms.cli.complaints import complain
from autograms.cli.processes import Interrupted
from autograms.errors import AutogramsError
from autograms.finetuning.stopping import terminations_interrupt

__all__ = ["COMMANDS", "build_app", "main", "run"]

COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "init": (init, "make a project to start from"),
    "chat": (chat, "talk to a program in the terminal"),
    "scenarios": (scenarios, "let a model write scenarios"),
    "graph": (graph, "show a program's flow as Mermaid or SVG"),
    "simulate": (simulate, "simulate conversations into a folder"),
    "batches": (batches, "show or cancel the batches that a simulation left under way"),
    "branch": (branch, "go on otherwise from a call of saved conversations"),
    "import": (import_chats, "take in conversations from elsewhere"),
    "dataset": (dataset, "build training rows from a folder"),
    "finetune": (finetune, "finetune a model on a folder"),
    "evaluate": (evaluate, "measure what the models learned"),
    "plan": (plan, "say what a simulation would cost, and why"),
    "export": (export, "a trained model as a folder, on a hub, or as GGUF"),
    "serve": (serve, "serve an autogram as a chat endpoint"),
    "materialize": (materialize, "run the chain of assets, through Dagster"),
    "dev": (dev, "serve Dagster's UI over the project"),
    "sync": (sync, "register the project's autograms in Dagster"),
    "show": (show, "show what is stored for an autogram"),
}
"""The commands and a line about each, in the order in which people meet them."""

_OVERVIEW = """Distil chatbots written as Python programs into smaller finetuned models.

\b
a new project        autograms init my_project
talk to a program    autograms chat my_project/chatbots/greeter.py
the whole chain      autograms materialize support_desk
                     autograms show support_desk
in the browser       autograms dev
by hand              autograms simulate, dataset, finetune, evaluate

Options may be written with underscores or with dashes.
"""


_INTERRUPTED = 130


def _underscored(token: str) -> str:
    return token.replace("-", "_")


_CONTEXT: dict[str, Any] = {"token_normalize_func": _underscored, "help_option_names": ["--help", "-h"]}


def build_app(only: str | None = None) -> typer.Typer:
    """Return the command line.

    Args:
        only: Name of the one command that it has, as the guide's scripts are; all where unset.
    """
    app = typer.Typer(
        name="autograms",
        add_completion=only is None,
        help=_OVERVIEW if only is None else None,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT,
    )
    for name, (command, summary) in COMMANDS.items():
        if only in (None, name):
            app.command(name, short_help=summary, context_settings=_CONTEXT)(command)
    return app


def main(argv: Sequence[str] | None = None, *, only: str | None = None, program: str = "autograms") -> int:
    """Run the command line and return its exit status.

    Args:
        argv: The arguments without the program's name; the process's own where unset.
        only: Name of the one command that the program has; all where unset.
        program: The program's name in messages.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments and only is None:
        arguments = ["--help"]
    with terminations_interrupt() as asked:
        try:
            status = _status_of(arguments, only, program)
        except Interrupted as stop:  # by a process that the command ran
            print(stop, file=sys.stderr)
            return stop.status
        if status == _INTERRUPTED:
            print("interrupted", file=sys.stderr)
            return 128 + (asked.signal or signal.SIGINT)
    return status


def _status_of(arguments: list[str], only: str | None, program: str) -> int:
    try:
        with _plain_warnings():
            status = build_app(only)(args=arguments, prog_name=program, standalone_mode=False)
    except AutogramsError as error:
        return complain(error)
    except typer.TyperException as error:
        command = context.command_path if (context := getattr(error, "ctx", None)) is not None else program
        return complain(f"{error.format_message()} (see {command} --help)")
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except OSError as error:
        return complain(f"{error.strerror or error}: {error.filename or 'the operating system refused'}")
    return status if isinstance(status, int) else 0


def run() -> None:
    """Run the command line and end the process with its exit status."""
    sys.exit(main())


@contextmanager
def _plain_warnings() -> Iterator[None]:
    original = warnings.showwarning

    def show_plainly(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if category is UserWarning:
            print(f"warning: {message}", file=sys.stderr)
        else:
            original(message, category, filename, lineno, file, line)

    warnings.showwarning = show_plainly
    try:
        yield
    finally:
        warnings.showwarning = original
