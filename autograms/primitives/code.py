"""Code: taking it out of a model's answer, and running it in a process of its own."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from autograms.primitives.control import step
from autograms.program.context import current

__all__ = ["execute_code", "extract_code"]


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
    """Run code in a process of its own, without network where the system can take it away.

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
    with tempfile.TemporaryDirectory(prefix="autograms-code-") as folder:
        file = Path(folder) / f"program{suffix}"
        file.write_text(code, encoding="utf-8")
        try:
            done = subprocess.run([*words, str(file)], capture_output=True, text=True, timeout=timeout, cwd=folder)
        except subprocess.TimeoutExpired:
            return f"the code did not finish within {timeout:g} seconds", False
        except OSError as error:
            return f"{words[0]}: {error}", False
    return (done.stdout, True) if done.returncode == 0 else (done.stderr or done.stdout, False)


def _sandbox(command: str | None) -> list[str]:
    return shlex.split(command) if command is not None else list(_without_network())


@functools.cache
def _without_network() -> tuple[str, ...]:
    """Return a command that takes the network away, empty where the system has none that works."""
    candidate = ("unshare", "--user", "--map-root-user", "--net")
    if shutil.which("unshare") is None:
        return ()
    works = subprocess.run([*candidate, "true"], capture_output=True).returncode == 0
    return candidate if works else ()
