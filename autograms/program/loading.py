"""Loading a program from its file, with the local modules that it imports, in a namespace of its own.

A program's ``random`` is its conversation's, so that neither concurrency nor a resume changes what it draws; and two
programs may have helper modules of the same name. Both are had by an import function of their own, and the real
``random`` is not touched. In ``sys.modules`` a program's modules stand under a name that holds their path, since
dataclasses and pydantic look there for what an annotation names.
"""

from __future__ import annotations

import ast
import builtins
import functools
import hashlib
import importlib.util
import linecache
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograms.errors import ProgramError, ProgramFileError, classify
from autograms.program.context import current_or_none
from autograms.program.destinations import warn_of_lost
from autograms.program.keywords import warn_of_unknown
from autograms.settings.chatbots import no_chatbot

__all__ = ["LoadedProgram", "load_autogram", "load_program"]


class LoadedProgram:
    """A program's module and files.

    Attributes:
        path: The program's file.
        module: Its module.
        root: Its ``chatbot`` function.
        init: Its ``init_chatbot`` function, which runs the first time that it is called, or ``None``.
        files: The program's file and those of the local modules it has imported so far.
    """

    def __init__(self, path: Path, module: types.ModuleType, files: dict[str, types.ModuleType]) -> None:
        self.path = path
        self.module = module
        self._files = files
        self.root: Callable[..., Any] = module.chatbot
        init = getattr(module, "init_chatbot", None)
        self.init: Callable[[], Any] | None = _once(init) if callable(init) else None

    @property
    def files(self) -> list[str]:
        """Paths of the program's file and of its local modules, as they stand in tracebacks."""
        return list(self._files)


def _once(init: Callable[[], Any]) -> Callable[[], Any]:
    results: list[Any] = []

    @functools.wraps(init)
    def run() -> Any:
        if not results:
            results.append(init())
        return results[0]

    return run


def load_autogram(path: str | Path) -> tuple[Callable[..., Any], Callable[[], Any] | None]:
    """Load a program's file.

    Args:
        path: The file; it must define ``chatbot()``.

    Returns:
        The root function ``chatbot`` and ``init_chatbot``, which is ``None`` where the file has none.

    Raises:
        ProgramFileError: Where the file is missing, has a syntax error, fails to load, or has no ``chatbot()``.
    """
    program = load_program(path)
    return program.root, program.init


def load_program(path: str | Path) -> LoadedProgram:
    """Load a program's file, with what is known of its parts.

    Raises:
        ProgramFileError: As :func:`load_autogram`.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise ProgramFileError(f"no autogram at {path}: expected a Python file that defines chatbot()")
    importer = _Importer(file.parent)
    module = _loaded(importer, file)
    root = getattr(module, "chatbot", None)
    if not callable(root):
        defined = [name for name, value in vars(module).items() if isinstance(value, types.FunctionType)]
        own = [name for name in defined if getattr(module, name).__module__ == module.__name__]
        raise no_chatbot(file, own)
    if not isinstance(root, types.FunctionType):  # a method or an instance, which takes no attribute
        module.chatbot = functools.wraps(root)(functools.partial(root))  # type: ignore[attr-defined]
    program = LoadedProgram(file, module, importer.files)
    program.root.__autograms_program__ = program  # type: ignore[attr-defined]
    warn_of_lost(importer.trees)
    importer.trees.clear()
    return program


def _loaded(importer: _Importer, file: Path) -> types.ModuleType:
    try:
        return importer.load(file, file.stem)
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text else ""
        raise ProgramFileError(f"{error.filename}:{error.lineno}: syntax error: {error.msg}{text}") from None
    except ProgramError:
        raise
    except (Exception, SystemExit) as error:
        what = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be loaded"
        place = classify(error, importer.files).place or file
        raise ProgramFileError(f"{place}: {file.name} {what}: {type(error).__name__}: {error}") from error


class _Importer:
    """Loads a program's local modules, and hands it the conversation's ``random``.

    Args:
        folder: The program's folder; modules in it are the program's own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, types.ModuleType] = {}
        self.modules: dict[str, types.ModuleType] = {}
        self.trees: dict[types.ModuleType, ast.Module] = {}
        self.builtins = dict(vars(builtins), __import__=self.import_module)

    def load(self, file: Path, name: str) -> types.ModuleType:
        """Run a file as a module of this program."""
        module = types.ModuleType(f"{name}@{hashlib.blake2b(bytes(file), digest_size=4).hexdigest()}")
        package = file.name == "__init__.py"
        module.__file__ = str(file)
        module.__package__ = name if package else name.rpartition(".")[0]
        if package:
            module.__path__ = [str(file.parent)]
        module.__dict__["__builtins__"] = self.builtins
        self.files[str(file)] = module
        self.modules[name] = sys.modules[module.__name__] = module
        try:
            source = file.read_text(encoding="utf-8-sig")
            tree = ast.parse(source, str(file))
            code = compile(tree, str(file), "exec", dont_inherit=True)
            linecache.cache[str(file)] = (len(source), None, source.splitlines(keepends=True), str(file))
            exec(code, module.__dict__)
            warn_of_unknown(tree, module)
            self.trees[module] = tree
        except BaseException:
            del self.modules[name], sys.modules[module.__name__]
            raise
        return module

    def import_module(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        """Stand in for ``__import__`` in the program's modules."""
        if name == "random" and level == 0:
            return _RANDOM
        full = self._absolute(name, (globals or {}).get("__package__") or "", level)
        if full is not None:
            module = self._local(full)
            if module is not None:
                if not fromlist:
                    return self._local(full.split(".")[0])
                for item in fromlist:
                    if item != "*" and not hasattr(module, item):
                        child = self._local(f"{full}.{item}" if full else item)
                        if child is not None:
                            setattr(module, item, child)
                return module
        if level:
            raise ImportError(f"no module {'.' * level}{name} in {self.folder}{self._elsewhere(name)}")
        try:
            return importlib.__import__(name, globals, locals, fromlist, level)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # an installed package lacks one of its own
            error.msg = f"{error.msg}, neither in {self.folder} nor installed{self._elsewhere(name)}"
            raise

    def _elsewhere(self, name: str) -> str:
        """Say where a module lies that was not found, and where it belongs, where it is near."""
        *parents, leaf = name.split(".")
        project = [self.folder.parent] if self.folder.name in ("chatbots", "userbots") else []
        module, package = f"{leaf}.py", f"{leaf}/__init__.py"
        for folder in (self.folder, *project):
            for pattern in (f"_{module}", module, f"*/{module}", package, f"*/{package}"):
                found = next(iter(sorted(folder.glob(pattern))), None)
                if found is None:
                    continue
                if found.is_relative_to(self.folder):
                    parts = found.relative_to(self.folder).with_suffix("").parts
                    return f"; {found} is there: import {'.'.join(parts).removesuffix('.__init__')}"
                whole = found.parent if found.name == "__init__.py" else found
                return f"; {whole} is there: move it to {self.folder.joinpath(*parents)}, where programs find it"
        return ""

    def _absolute(self, name: str, package: str, level: int) -> str | None:
        if level == 0:
            return name
        parts = package.split(".") if package else []
        if level - 1 > len(parts):
            return None
        base = parts[: len(parts) - (level - 1)]
        return ".".join([*base, name] if name else base)

    def _local(self, full: str) -> types.ModuleType | None:
        """Return the program's own module of that name, loading it where it is new; ``None`` where there is none."""
        if full in self.modules:
            return self.modules[full]
        if full.split(".")[0] == "autograms":
            return None
        path = self.folder.joinpath(*full.split(".")) if full else self.folder
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if full and file.is_file():
                parent, _, leaf = full.rpartition(".")
                above = self._local(parent) if parent else None
                module = self.load(file, full)
                if above is not None:
                    setattr(above, leaf, module)
                return module
        return self._folder(full, path) if path.is_dir() else None

    def _folder(self, full: str, path: Path) -> types.ModuleType | None:
        """Return a folder without an ``__init__.py`` as a package, unless an installed module has its name."""
        parent, _, leaf = full.rpartition(".")
        if full and not parent and importlib.util.find_spec(full) is not None:
            return None
        package = self.modules[full] = types.ModuleType(full)
        package.__path__ = [str(path)]
        package.__package__ = full
        if parent and (above := self._local(parent)) is not None:
            setattr(above, leaf, package)
        return package


class _ConversationRandom(types.ModuleType):
    """The ``random`` module as programs see it: its functions draw from the running conversation."""

    def __getattr__(self, name: str) -> Any:
        real = getattr(random, name)
        if not isinstance(getattr(real, "__self__", None), random.Random):
            return real

        def draw(*args: Any, **kwargs: Any) -> Any:
            context = current_or_none()
            target = real if context is None else getattr(context.random, name)
            return target(*args, **kwargs)

        draw.__name__ = draw.__qualname__ = name
        draw.__doc__ = real.__doc__
        setattr(self, name, draw)
        return draw


class _SeededRandom(random.Random):
    """``random.Random``, which takes its seed from the running conversation where it is given none."""

    def seed(self, a: Any = None, version: int = 2) -> None:
        """Seed the generator."""
        context = current_or_none() if a is None else None
        super().seed(a if context is None else context.random.getrandbits(64), version)


_RANDOM = _ConversationRandom("random", random.__doc__)
_RANDOM.__all__ = random.__all__  # type: ignore[attr-defined]
_RANDOM.Random = _SeededRandom  # type: ignore[attr-defined]
