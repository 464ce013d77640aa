"""``checkpoint/PATH``: a local Hugging Face causal language model, asked in batches.

Requests that arrive together are answered together: one worker thread takes what has gathered, so the event loop goes
on meanwhile. What does not belong here: rendering, generating and scoring (``local``).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from autograms.errors import ModelError, ModelNameError
from autograms.models.base import Reply, Request
from autograms.models.files import model_version
from autograms.models.local import Generation, LocalModel, load_local

__all__ = ["CheckpointModel"]

_GATHER_SECONDS = 0.002


@dataclass(slots=True)
class _Job:
    request: Request
    generation: Generation
    answer: Future[Reply] = field(default_factory=Future)


class CheckpointModel:
    """A causal language model in a folder, or by its name on the Hugging Face hub.

    It is loaded at the first request, on the GPU where there is one, and answers greedily unless a request has a
    ``temperature``. A choice is always one of the choices: each one's likelihood is measured, and the likeliest wins.

    Args:
        path: The folder with ``config.json``, the tokenizer and ``*.safetensors``; or a name on the hub.
        batch_size: Most sequences in one batch.
        max_tokens: Longest answer in tokens where a request sets none.

    Raises:
        ModelNameError: Where the path can only be a folder, and there is none with a model.

    Attributes:
        name: ``checkpoint/PATH``.
        origin: The version of the folder's files, empty for a name on the hub: a path means another model once the
            folder holds another one.
    """

    def __init__(self, path: str | Path, *, batch_size: int = 32, max_tokens: int = 256) -> None:
        self.path = str(path)
        self.name = f"checkpoint/{self.path}"
        self._batch_size = batch_size
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._working = False
        self._worker: ThreadPoolExecutor | None = None
        self._local: LocalModel | None = None
        self._check_path()
        version = model_version(self.path)  # here, not at a request: it reads files
        self.origin = "" if version == self.path else version

    async def complete(self, request: Request) -> Reply:
        """Answer one request, together with those that arrive at the same time; the cost is nothing.

        Raises:
            ModelNameError: Where the model cannot be loaded, or the request names another one.
            ModelError: Where the model's chat template refuses the messages or the tools that are offered, or they are
            longer than its context.
        """
        if request.model not in (None, self.name, self.path):
            raise ModelNameError(
                f"model={request.model!r} cannot be asked of {self.name}; leave model= out, or set this model for it"
            )
        job = _Job(request, Generation.from_params(request.params, max_tokens=self._max_tokens))
        with self._lock:
            self._jobs.append(job)
            if not self._working:
                self._working = True
                self._worker = self._worker or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
                self._worker.submit(self._work)
        return await asyncio.wrap_future(job.answer)

    async def embed(self, texts: list[str], *, model: str | None = None) -> list[list[float]]:
        """Refuse: a causal language model has no embeddings.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} has no embeddings; set an embedding model at an endpoint (embedding_path)")

    async def close(self) -> None:
        """Give back the model's memory once what is under way is answered. It is loaded again when it is needed."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            await asyncio.to_thread(worker.shutdown)
        self._local = None

    def _check_path(self) -> None:
        folder = Path(self.path).expanduser()
        could_be_on_hub = self.path.count("/") <= 1 and not self.path.startswith((".", "/", "~")) and self.path
        expected = "expected a folder with config.json, the tokenizer's files and *.safetensors"
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise ModelNameError(f"checkpoint {self.path!r} has no config.json; {expected}")
        elif folder.exists() or not could_be_on_hub:
            raise ModelNameError(f"checkpoint {self.path!r} is no folder; {expected}")

    def _work(self) -> None:
        """Answer batch after batch until nobody waits."""
        while True:
            self._gather()
            with self._lock:
                jobs, self._jobs = self._jobs[: self._batch_size], self._jobs[self._batch_size :]
                if not jobs:
                    self._working = False
                    return
            jobs = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            try:
                self._answer(jobs)
            except BaseException as error:
                _fail(jobs, error)

    def _gather(self) -> None:
        """Wait a moment, as long as further requests arrive and the batch is not full."""
        count = -1
        while len(self._jobs) != count and len(self._jobs) < self._batch_size:
            count = len(self._jobs)
            time.sleep(_GATHER_SECONDS)

    def _answer(self, jobs: list[_Job]) -> None:
        if self._local is None:
            self._local = load_local(self.path, self._batch_size)
        prompts = self._render(jobs, self._local)
        groups: dict[Generation | None, list[_Job]] = {}
        for job in jobs:
            if not job.answer.done():
                groups.setdefault(None if job.request.kind == "choice" else job.generation, []).append(job)
        for generation, group in groups.items():
            try:
                if generation is None:
                    self._choose(group, prompts, self._local)
                else:
                    self._write(group, generation, prompts, self._local)
            except Exception as error:  # the other groups are other users' requests
                _fail(group, error)

    def _write(
        self, jobs: list[_Job], generation: Generation, prompts: dict[int, list[int]], local: LocalModel
    ) -> None:
        """Answer jobs that agree in how to generate."""
        answers = local.generate([prompts[id(job)] for job in jobs], generation)
        for job, written in zip(jobs, answers, strict=True):
            prompt, tools = prompts[id(job)], job.request.params.get("tools")
            called = local.called(prompt, written.tokens, tools) if tools else None
            text, calls = called or (written.text, None)
            reply = Reply(text, self.name, len(prompt), len(written.tokens), 0.0, tool_calls=calls)
            job.answer.set_result(reply)

    def _render(self, jobs: list[_Job], local: LocalModel) -> dict[int, list[int]]:
        """Return the prompts by job; a prompt that cannot be rendered fails its own job only."""
        prompts = {}
        for job in jobs:
            try:
                prompts[id(job)] = local.render(job.request.messages, job.request.params.get("tools"))
            except Exception as error:
                job.answer.set_exception(error)
        return prompts

    def _choose(self, jobs: list[_Job], prompts: dict[int, list[int]], local: LocalModel) -> None:
        """Score the choices of all jobs together."""
        offered: list[tuple[_Job, list[list[int]]]] = []
        for job in jobs:
            try:
                offered.append((job, local.completions(prompts[id(job)], job.request.messages, job.request.choices)))
            except Exception as error:  # a template that refuses one choice fails its own job only
                _fail([job], error)
        scores = iter(local.score([(prompts[id(job)], tokens) for job, each in offered for tokens in each]))
        for job, each in offered:
            own = [next(scores) for _ in each]
            best = own.index(max(own))
            weights = [math.exp(score - own[best]) for score in own]
            job.answer.set_result(
                Reply(
                    job.request.choices[best],
                    self.name,
                    len(prompts[id(job)]),
                    len(each[best]),
                    0.0,
                    [weight / sum(weights) for weight in weights],
                )
            )


def _fail(jobs: list[_Job], error: BaseException) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
