"""``autograms chat`` and ``run_autogram.py``: talk to a program in the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autograms.cli.stored_models import Stage
from autograms.errors import AutogramsError, ProgramError, SettingsError, classify

if TYPE_CHECKING:
    from autograms.autogram import Autogram
    from autograms.cli.programs import Opened
    from autograms.conversation.record import Memory

__all__ = ["chat"]

_WHO = {"assistant": "bot", "user": "you", "tool": "tool"}
_HELP = "/save FILE and /load FILE keep and resume the conversation; /quit (or quit, exit, Ctrl-D) ends."


def chat(
    program: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="The program's file, or the name of an autogram of the project.")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="openai/NAME, checkpoint/FOLDER or offline/demo; for a NAME the trained one."),
    ] = None,
    stage: Annotated[
        Stage | None, typer.Option("--stage", help="Which of a NAME's trained models; dpo where there is one.")
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base_url", help="URL of an OpenAI-compatible endpoint.")] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config_file", help="JSON or TOML options of AutogramConfig.")
    ] = None,
    api_key_file: Annotated[Path | None, typer.Option("--api_key_file", help='JSON file: {"openai": "KEY"}.')] = None,
    saveload_file: Annotated[
        Path | None,
        typer.Option(
            "--saveload_file", help="Resume the conversation from this file, and save it there after each turn."
        ),
    ] = None,
    supervisor_mode: Annotated[
        bool, typer.Option("--supervisor_mode", help="Let supervisors answer, as in a simulation.")
    ] = False,
    user_goes_first: Annotated[
        bool | None,
        typer.Option(
            "--user_goes_first/--program_goes_first",
            help="Who opens the conversation: for a FILE the program, for a NAME as in its scenarios.",
        ),
    ] = None,
    chatbot_kwargs: Annotated[
        str | None,
        typer.Option(
            "--chatbot_kwargs",
            help="The keywords of chatbot(), a JSON object; for a NAME those of its first scenario.",
        ),
    ] = None,
) -> None:
    """Talk to a program in the terminal. The conversation can be saved, and resumed in another process.

    Example:

    \b
    autograms chat support_desk
    autograms chat examples/chatbots/support_desk.py --user_goes_first --model offline/demo
    autograms chat guide.py --chatbot_kwargs '{"topic": "boats"}'
    """
    given = None if chatbot_kwargs is None else _read_kwargs(chatbot_kwargs)
    options = {"model": model, "supervisor_mode": supervisor_mode}
    files = {"config_file": config_file, "base_url": base_url, "api_key_file": api_key_file}
    if program.endswith(".py") or Path(program).exists():
        opened = _open_file(Path(program), stage, **options, **files)
    else:
        opened = _open_name(program, files, stage=stage, **options)
    resumed = saveload_file is not None and saveload_file.exists()
    kwargs = _keywords(opened, given, resumed=resumed)
    first = opened.user_goes_first if user_goes_first is None else user_goes_first
    _Session(opened.autogram, saveload_file, kwargs).run(user_goes_first=first)


def _open_file(file: Path, stage: Stage | None, **options: Any) -> Opened:
    from autograms.cli.programs import Opened, open_program

    if stage is not None:
        raise SettingsError("--stage names a trained model of an autogram; it needs a NAME, and not a file")
    return Opened(open_program(file, **options), user_goes_first=False, chatbot_kwargs={})


def _open_name(name: str, files: dict[str, Any], **options: Any) -> Opened:
    from autograms.cli.programs import open_autogram

    given = next((flag for flag, value in files.items() if value is not None), None)
    if given is not None:
        raise SettingsError(
            f"--{given} is for a program's file; {name} is an autogram of the project, whose settings stand in its "
            "autograms.toml"
        )
    return open_autogram(name, **options)


def _keywords(opened: Opened, given: dict[str, Any] | None, *, resumed: bool) -> dict[str, Any]:
    """Return the root's keywords: those that were given, else those of the first scenario, after a check."""
    kwargs = opened.chatbot_kwargs if given is None else given
    if kwargs and given is None and not resumed:
        print(f"chatbot_kwargs: {json.dumps(kwargs, ensure_ascii=False)} (of the first scenario)")
    if kwargs or not resumed:
        _check_kwargs(opened.autogram, kwargs)
    return kwargs


def _read_kwargs(text: str) -> dict[str, Any]:
    try:
        kwargs = json.loads(text)
    except ValueError as error:
        raise SettingsError(_expected(f"is no JSON ({error})")) from None
    if not isinstance(kwargs, dict):
        raise SettingsError(_expected(f"is {text[:80]}"))
    return kwargs


def _check_kwargs(autogram: Autogram, kwargs: dict[str, Any]) -> None:
    from autograms.program.root_keywords import misfit

    wrong = misfit(autogram.root_function, kwargs)
    if wrong is not None:
        raise SettingsError(_expected(wrong))


def _expected(wrong: str) -> str:
    return f'--chatbot_kwargs {wrong}; give the keywords of chatbot() as --chatbot_kwargs \'{{"NAME": "VALUE"}}\''


class _Session:
    """One conversation in the terminal."""

    def __init__(self, autogram: Autogram, saveload_file: Path | None, kwargs: dict[str, Any]) -> None:
        self._autogram = autogram
        self._kwargs = kwargs
        self._file = saveload_file
        self._memory: Memory | None = None

    def run(self, *, user_goes_first: bool) -> None:
        """Talk until the user ends it."""
        name = self._autogram.model.name
        offline = " (embedded and deterministic: no measure of any model)" if name.startswith("offline/") else ""
        print(f"model: {name}{offline}. {_HELP}")
        if self._file is not None and self._file.exists():
            self._load(self._file)
        elif not user_goes_first:
            self._say(None)
        while (text := _ask()) is not None:
            if text.startswith("/"):
                self._command(text)
            else:
                self._say(text)

    def _say(self, text: str | None) -> None:
        try:
            self._turn(text)
        except AutogramsError as error:
            if not sys.stdin.isatty():
                raise
            print(f"error: {error}", file=sys.stderr)
        except Exception as error:  # whatever the program raised: its author's to see, and the conversation goes on
            failure = classify(error, self._autogram.files)
            told = f"{failure.place or 'the program'}: {failure.error}: {failure.message}"
            if not sys.stdin.isatty():
                raise ProgramError(told) from error
            print(f"error: {told}", file=sys.stderr)

    def _turn(self, text: str | None) -> None:
        answer, self._memory = self._autogram.reply(text, self._memory, **self._kwargs)
        print(f"bot: {answer}" if answer is not None else "(the program ended; say something to start it again)")
        if self._file is not None:
            self._save(self._file)

    def _command(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        path = Path(rest.strip())
        if name in ("/save", "/load") and rest.strip():
            try:
                self._save(path, say=True) if name == "/save" else self._load(path)
            except (AutogramsError, OSError) as error:
                print(f"error: {error}", file=sys.stderr)
        else:
            print(_HELP)

    def _save(self, path: Path, *, say: bool = False) -> None:
        from autograms.conversation.atomic import replacing

        if self._memory is None:
            print("nothing to save yet")
            return
        with replacing(path) as file:
            file.write(self._autogram.serialize(self._memory).encode())
        if say:
            print(f"saved {path}")

    def _load(self, path: Path) -> None:
        from autograms.cli.results import read_saved_conversation
        from autograms.conversation.tool_calls import readable

        self._memory = self._autogram.deserialize(read_saved_conversation(path))
        for turn in self._memory.transcript():
            print(f"{_WHO[turn['role']]}: {readable(turn)}")


def _ask() -> str | None:
    """Return the user's next text, ``None`` where they end the conversation."""
    while True:
        try:
            text = input("you: " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return None
        if text in ("/quit", "/exit", "quit", "exit"):
            return None
        if text:
            return text
