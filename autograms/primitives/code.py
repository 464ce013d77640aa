"""Code: taking it out of a model's answer, and running it in a process of its own."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autograms.primitives.control import step
from autograms.program.context import current

__all__ = ["execute_code", "extract_code"]

_KEPT = ("PATH", "LANG", "LC_ALL")
_WITHOUT_NETWORK = ("unshare", "--user", "--map-root-user", "--net")
_ALONE = ("--pid", "--fork", "--kill-child", "--mount-proc")
"""Without sight of other processes, whose environment holds keys."""


def extract_code(input_string: str, code_type: str = "python", merge_blocks: bool = True) -> str | list[str]:
    """Return the fenced code blocks of a language in a text.

    Args:
        input_string: The text.
        code_type: The language after the fence.
        merge_blocks: Join the blocks by line breaks; a list of them otherwise.
    """
    blocks: list[str] = []
    block: list[str] | None = None
    depth = 0
    for line in input_string.splitlines():
        fence = re.match(r"^\s*```\s*(\S*)\s*$", line)
        if block is None:
            if fence and fence.group(1) == code_type:
                block, depth = [], 0
        elif fence and not fence.group(1) and depth == 0:
            blocks.append("\n".join(block))
            block = None
        else:
            if fence:
                depth += 1 if fence.group(1) else -1
            block.append(line)
    if block:
        blocks.append("\n".join(block))
    return "\n".join(blocks) if merge_blocks else blocks


def execute_code(
    code: str, command: str | None = None, timeout: float | None = 60, code_suffix: str = ".py"
) -> tuple[str, bool]:
    """Run code in a process of its own, without network and sight of others where the system can take them away.

    Of the environment it has ``PATH``, ``LANG`` and ``LC_ALL``, and its folder, which is removed, as ``HOME``. What it
    has started ends with it.

    Args:
        code: The code.
        command: The command before the file's name; the interpreter behind the configuration's ``sandbox_command``
            where unset.
        timeout: Seconds until the process is ended.
        code_suffix: Suffix of the file.

    Returns:
        What it printed and ``True``; what went wrong and ``False``.
    """
    words = shlex.split(command) if command else [*_sandbox(current().config.sandbox_command), sys.executable, "-I"]
    output, success = step(_run, code, words, timeout or None, code_suffix)
    return output, success


def _run(code: str, words: list[str], timeout: float | None, suffix: str) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory(prefix="autograms-code-", ignore_cleanup_errors=True) as folder:
        file = Path(folder) / f"program{suffix}"
        file.write_bytes(code.encode("utf-8", "replace"))
        try:
            process = subprocess.Popen(
                [*words, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        except OSError as error:
            return f"{words[0]}: {error}", False
        with process, _ended(process):
            try:
                printed, errors = (each.decode("utf-8", "replace") for each in process.communicate(timeout=timeout))
            except subprocess.TimeoutExpired:
                return f"the code did not finish within {timeout:g} seconds", False
    return (printed, True) if process.returncode == 0 else (errors or printed, False)


def _environment(folder: str) -> dict[str, str]:
    """Return what the code sees of the environment: no key is in it, whatever its name."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "HOME": folder}


@contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process, with those that it has started, after the block, or with the interpreter if that ends before."""
    end = functools.partial(_end, process.pid)
    atexit.register(end)
    try:
        yield
    finally:
        atexit.unregister(end)
        end()


def _end(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # none of the group lives any more
        os.killpg(group, signal.SIGKILL)


def _sandbox(command: str | None) -> list[str]:
    return shlex.split(command) if command is not None else list(_without_network())


@functools.cache
def _without_network() -> tuple[str, ...]:
    """Return a command that takes network and other processes away, or what of it works on this system."""
    if shutil.which(_WITHOUT_NETWORK[0]) is None:
        return ()
    for candidate in ((*_WITHOUT_NETWORK, *_ALONE), _WITHOUT_NETWORK):
        if subprocess.run([*candidate, "true"], capture_output=True).returncode == 0:
            return candidate
    return ()
