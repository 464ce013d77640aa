"""``autograms serve``: an autogram, or its trained model alone, as an OpenAI-compatible chat endpoint."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograms.cli.stored_models import Stage, find_model
from autograms.errors import SettingsError

if TYPE_CHECKING:
    from autograms.serving.talkers import Talker

__all__ = ["serve"]

_KEY = "AUTOGRAMS_SERVE_KEY"


def serve(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The autogram; with --model_only also the folder of a model.")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="openai/NAME, checkpoint/FOLDER or offline/demo; the trained one where unset."),
    ] = None,
    stage: Annotated[
        Stage | None, typer.Option("--stage", help="Which of the trained models; dpo where there is one.")
    ] = None,
    model_only: Annotated[bool, typer.Option("--model_only", help="Serve the trained model, without program.")] = False,
    user_goes_first: Annotated[
        bool | None,
        typer.Option(
            "--user_goes_first/--program_goes_first",
            help="Who opens a conversation; as in the autogram's scenarios where unset.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Where to listen; beyond this machine only with a key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", help="The port; 0 for a free one.", min=0, max=65535)] = 8000,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="Say the messages of errors too, which may quote what was said and asked."),
    ] = False,
) -> None:
    """Serve an autogram at http://HOST:PORT/v1/chat/completions, for any OpenAI client.

    A program that speaks first greets before it gets a conversation's first message: the answer is to that message, and
    the greeting stands beside it (greeting). A request without messages gets the greeting alone.

    Each answer carries a conversation's id (the header X-Conversation-Id, and conversation_id). Sent along with the
    next request, it resumes that conversation's memory, which is saved in conversations/NAME in the storage. To be
    reached from other machines, set the key that callers must send in AUTOGRAMS_SERVE_KEY.

    Example:

    \b
    autograms serve support_desk
    autograms serve support_desk --model_only --port 8001
    """
    from autograms.serving.app import LOOPBACK, build_app
    from autograms.serving.talkers import ModelTalker

    os.environ.setdefault("TQDM_DISABLE", "1")  # read where a model is loaded: no bar among what the endpoint says
    key = os.environ.get(_KEY) or None
    if key is None and host not in LOOPBACK:
        raise SettingsError(f"--host {host} can be reached from other machines; set {_KEY} to the key they must send")
    if model_only:
        if model is not None:
            raise SettingsError("--model_only serves the trained model; leave --model out, or name a model's folder")
        from autograms.models.checkpoint import CheckpointModel

        found = find_model(name, stage)
        talker: Talker = ModelTalker(found.name, CheckpointModel(found.folder))
    else:
        talker = _program(name, model, stage, user_goes_first)
    if verbose:
        logging.getLogger(build_app.__module__).setLevel(logging.DEBUG)
    _listen(build_app(talker, key=key), talker.name, host, port)


def _program(name: str, model: str | None, stage: Stage | None, user_goes_first: bool | None) -> Talker:
    from autograms.cli.orchestration import scratch_folder, storage_root
    from autograms.cli.programs import open_autogram
    from autograms.serving.conversations import Conversations
    from autograms.serving.talkers import ProgramTalker

    autogram, as_simulated, _ = open_autogram(name, model=model, stage=stage)
    storage = storage_root()
    folder = (storage if isinstance(storage, Path) else scratch_folder(storage)) / "conversations" / name
    user_goes_first = as_simulated if user_goes_first is None else user_goes_first
    first = "the user" if user_goes_first else "the program"
    print(f"{name} with the model {autogram.model.name}; {first} speaks first; conversations are saved in {folder}")
    return ProgramTalker(name, Conversations(autogram, folder, user_goes_first=user_goes_first))


def _listen(app: object, name: str, host: str, port: int) -> None:
    import socket

    from aiohttp import web

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise SettingsError(f"cannot listen at {host}:{port}: {error.strerror}; choose another --port") from None
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listener.getsockname()[1]}/v1"
        print(f"serving {name} at {url} (POST {url}/chat/completions); Ctrl-C ends it", flush=True)
        web.run_app(app, sock=listener, print=None, access_log=None)  # type: ignore[arg-type]
