"""Finetuning jobs at an endpoint that speaks OpenAI's files and fine_tuning API.

A job's id is kept in a state file the moment it exists, and the job carries its fingerprint as metadata, so that a
retry finds the job again and nothing is paid twice. What does not belong here: making the JSONL files.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autograms.conversation.atomic import replacing
from autograms.errors import CredentialsError, DatasetError, TrainingError
from autograms.finetuning.stopping import terminations_interrupt
from autograms.settings import SftRecipe

if TYPE_CHECKING:
    from openai import APIError, OpenAI

__all__ = ["OpenAIResult", "read_openai_result", "run_openai_job"]

OnEvent = Callable[[dict[str, Any]], None]

_RESULT = "model.json"
_FEWEST_EXAMPLES = 10
_FAILED_POLLS = 10
_ENDED = ("succeeded", "failed", "cancelled")
_CLOSED = (
    "This endpoint takes no finetuning job from this account. OpenAI is closing its finetuning service: accounts that "
    'had not used it before get no access. Train with backend = "huggingface", or set base_url to an endpoint that '
    "still offers finetuning."
)


@dataclass(frozen=True, slots=True)
class OpenAIResult:
    """A finished job.

    Attributes:
        job: The job's id.
        model: Name of the finetuned model at the endpoint.
        base: The model it was made from.
        trained_tokens: Tokens the endpoint counted, where it said so.
        reattached: Whether the job had been created by an earlier run.
    """

    job: str
    model: str
    base: str
    trained_tokens: int | None
    reattached: bool

    def write(self, folder: Path) -> None:
        """Make a folder that stands for the model, in place of what is there: ``model.json`` holds its name."""
        shutil.rmtree(folder, ignore_errors=True)
        with replacing(folder / _RESULT) as file:
            file.write(json.dumps(asdict(self), indent=2).encode())


def read_openai_result(folder: Path) -> OpenAIResult | None:
    """Return the model that a folder stands for; ``None`` for a folder that holds none, or a model of this machine.

    Raises:
        TrainingError: Where ``model.json`` is damaged.
    """
    path = folder / _RESULT
    if not path.is_file():
        return None
    try:
        return OpenAIResult(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path} is damaged ({error}); finetune again, which finds the finished job") from None


def run_openai_job(
    train_file: Path,
    recipe: SftRecipe,
    *,
    kind: Literal["sft", "dpo"],
    state_file: Path,
    base: str | None = None,
    validation_file: Path | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    on_event: OnEvent | None = None,
    poll_seconds: float = 5.0,
    longest_poll_seconds: float = 60.0,
) -> OpenAIResult:
    """Upload the rows, create a job (or find the one that an earlier run created), and wait for its model.

    An interrupt while the job is under way cancels it.

    Args:
        train_file: JSONL rows in OpenAI's form for ``kind``.
        recipe: ``hyperparameters``, ``suffix``, ``seed`` and ``model`` are used.
        kind: ``sft`` or ``dpo``.
        state_file: Where the ids of files and job are kept.
        base: The model to finetune where it is not the recipe's ``model``.
        validation_file: Held-out rows.
        base_url: URL of the endpoint; ``OPENAI_BASE_URL`` where unset.
        api_key: Its key; ``OPENAI_API_KEY`` where unset.
        on_event: Called with ``{"event": "job" | "progress" | "message", ...}``.
        poll_seconds: First wait between two looks at the job; each further one is longer by half.
        longest_poll_seconds: Longest wait between two looks.

    Raises:
        CredentialsError: Where there is no key, or it is refused.
        DatasetError: Where there are too few examples.
        TrainingError: Where the endpoint takes no job, or the job fails.
    """
    from openai import APIError

    _count_examples(train_file)
    state = _State(state_file)
    client = _client(base_url, api_key)
    report = on_event or (lambda event: None)
    request = {
        "model": base or recipe.model,
        "seed": recipe.seed,
        "method": {"type": _METHODS[kind], _METHODS[kind]: {"hyperparameters": recipe.hyperparameters}},
    }
    if recipe.suffix:
        request["suffix"] = recipe.suffix
    files = [path for path in (train_file, validation_file) if path is not None]
    asked = [str(client.base_url), request, *(_file_digest(path) for path in files)]
    fingerprint = _digest(json.dumps(asked, sort_keys=True).encode())
    try:
        with terminations_interrupt(), client:
            job, reattached = _find_or_create(client, state, request, files, fingerprint)
            report({"event": "job", "job": job, "reattached": reattached})
            try:
                return _wait(client, state, job, reattached, report, poll_seconds, longest_poll_seconds)
            except Exception:
                raise
            except BaseException:
                _cancel(client, state, job, report)
                raise
    except APIError as error:
        raise _translated(error, client) from error


_METHODS = {"sft": "supervised", "dpo": "dpo"}


class _State:
    """What an interrupted run leaves for the next: ids of files and job."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.values: dict[str, Any] = {}
        if path.is_file():
            try:
                self.values = dict(json.loads(path.read_bytes()))
            except ValueError as error:
                raise TrainingError(
                    f"the state of a finetuning job at {path} is damaged ({error}); look for the job at the endpoint, "
                    "then remove the file"
                ) from None

    def write(self, **values: Any) -> None:
        self.values.update(values)
        with replacing(self._path) as file:
            file.write(json.dumps(self.values, indent=2).encode())


def _client(base_url: str | None, api_key: str | None) -> OpenAI:
    from openai import OpenAI

    key = api_key or os.environ.get("OPENAI_API_KEY")
    if not key:
        raise CredentialsError("finetuning at an endpoint needs a key: set OPENAI_API_KEY")
    return OpenAI(api_key=key, base_url=base_url or os.environ.get("OPENAI_BASE_URL"), max_retries=4, timeout=120)


def _find_or_create(
    client: OpenAI, state: _State, request: dict[str, Any], files: list[Path], fingerprint: str
) -> tuple[str, bool]:
    if state.values.get("fingerprint") == fingerprint and state.values.get("status") not in ("failed", "cancelled"):
        if state.values.get("job"):
            return str(state.values["job"]), True
        if state.values.get("status") == "creating" and (job := _look_for(client, fingerprint)) is not None:
            state.write(job=job, status="created")
            return job, True
    uploaded = [_upload(client, state, path) for path in files]
    if len(uploaded) > 1:
        request = {**request, "validation_file": uploaded[1]}
    state.write(fingerprint=fingerprint, status="creating", job=None)
    # Not retried by the client: a job whose answer was lost would be created, and paid, a second time.
    once = client.with_options(max_retries=0)
    made = once.fine_tuning.jobs.create(
        training_file=uploaded[0], metadata={"autograms_fingerprint": fingerprint}, **request
    )
    state.write(job=made.id, status="created")
    return made.id, False


def _look_for(client: OpenAI, fingerprint: str) -> str | None:
    """Return the id of a living job that carries the fingerprint: one whose creation was cut off."""
    for job in client.fine_tuning.jobs.list(limit=100).data:
        if (job.metadata or {}).get("autograms_fingerprint") == fingerprint and job.status not in (
            "failed",
            "cancelled",
        ):
            return job.id
    return None


def _upload(client: OpenAI, state: _State, path: Path) -> str:
    from autograms.models.transport import shown_url

    known: dict[str, str] = state.values.get("files", {})
    content = f"{shown_url(str(client.base_url))} {_file_digest(path)}"
    if content not in known or not _is_there(client, known[content]):
        with path.open("rb") as file:
            made = client.files.create(file=(path.name, file), purpose="fine-tune")
        known = {**known, content: made.id}
        state.write(files=known)
    return known[content]


def _is_there(client: OpenAI, file: str) -> bool:
    """Whether the endpoint knows a file that was uploaded before: files expire, and are one account's."""
    from openai import NotFoundError, PermissionDeniedError

    try:
        client.files.retrieve(file)
    except (NotFoundError, PermissionDeniedError):
        return False
    return True


def _wait(
    client: OpenAI,
    state: _State,
    job: str,
    reattached: bool,
    report: OnEvent,
    poll_seconds: float,
    longest_poll_seconds: float,
) -> OpenAIResult:
    from openai import APIConnectionError, InternalServerError, RateLimitError

    seen: set[str] = set()
    wait, failures = poll_seconds, 0
    while True:
        try:
            now = client.fine_tuning.jobs.retrieve(job)
            _report_news(client, job, seen, report)
            failures = 0
        except (APIConnectionError, InternalServerError, RateLimitError):
            failures += 1
            if failures >= _FAILED_POLLS:
                raise
        else:
            if now.status != state.values.get("status"):
                state.write(status=now.status)
                report({"event": "message", "message": f"the job is {now.status}"})
            if now.status in _ENDED:
                break
        time.sleep(wait)
        wait = min(wait * 1.5, longest_poll_seconds)
    if now.status != "succeeded" or not now.fine_tuned_model:
        reason = now.error.message if now.error and now.error.message else "the endpoint gave no reason"
        raise TrainingError(f"the finetuning job {job} {now.status}: {reason}")
    state.write(model=now.fine_tuned_model)
    return OpenAIResult(job, now.fine_tuned_model, now.model, now.trained_tokens, reattached)


def _cancel(client: OpenAI, state: _State, job: str, report: OnEvent) -> None:
    from openai import APIError

    try:
        client.fine_tuning.jobs.cancel(job)
    except APIError as error:
        report({"event": "message", "message": f"the job {job} goes on: it could not be cancelled ({error})"})
    else:
        state.write(status="cancelled")
        report({"event": "message", "message": f"the job {job} was cancelled"})


def _report_news(client: OpenAI, job: str, seen: set[str], report: OnEvent) -> None:
    events = client.fine_tuning.jobs.list_events(job, limit=50).data
    for event in sorted((event for event in events if event.id not in seen), key=lambda event: event.created_at):
        seen.add(event.id)
        data = event.data if isinstance(event.data, dict) else {}
        if event.type == "metrics" and "train_loss" in data:
            report(
                {
                    "event": "progress",
                    "step": int(data.get("step", 0)),
                    "max_steps": int(data.get("total_steps", 0)),
                    "loss": float(data["train_loss"]),
                }
            )
        else:
            report({"event": "message", "message": event.message})


def _translated(error: APIError, client: OpenAI) -> Exception:
    from openai import APIStatusError, AuthenticationError

    from autograms.models.transport import shown_url

    where = shown_url(str(client.base_url))
    if isinstance(error, AuthenticationError):
        return CredentialsError(f"{where} refused the key (status 401); check OPENAI_API_KEY")
    if isinstance(error, APIStatusError):
        note = f" {_CLOSED}" if error.status_code in (403, 404, 405, 410, 501) else ""
        return TrainingError(f"{where} answered with status {error.status_code}: {_words(error)}.{note}")
    return TrainingError(f"{where} could not be reached: {error}. A retry finds the job again, if it was created")


def _words(error: APIError) -> str:
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return str(message or error.message)[:500].rstrip(".")


def _count_examples(path: Path) -> None:
    with path.open("rb") as file:
        count = sum(1 for line in file if line.strip())
    if count < _FEWEST_EXAMPLES:
        raise DatasetError(
            f"{path} has {count} examples; a finetuning job needs {_FEWEST_EXAMPLES} or more: "
            "simulate more conversations"
        )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
