"""Rewrites functions that carry addresses, so that a jump can reach them. Functions without addresses stay as they are.

The body loops inside its own frame. After a jump it runs from the top again with every statement guarded: those before
the target are skipped, the statements around the target are entered without a look at their conditions, `for` loops
go on with the iterator that they have. Locals stay because the frame stays.

    while True:
        try:
            if goto is None: statement
            if goto is None or goto in {"a"}: (the statement that carries or holds "a")
            return None
        except Jump as jump:
            goto = frame.accept(jump)
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import linecache
import sys
import types
from collections.abc import Callable

from autograms.errors import AddressError
from autograms.program.guards import NESTED, RUNTIME, GuardWriter, PassJumps, where
from autograms.program.jumps import Frame, Jump, Loop

__all__ = ["carries_addresses", "definition_of", "rewrite"]

_REWRITTEN = "__autograms_rewritten__"


class _Runtime:
    """What rewritten code reaches through one hidden global of its module."""

    Loop = Loop
    Jump = Jump
    enter: Callable[[], tuple[Frame, str | None]]


def carries_addresses(function: types.FunctionType) -> bool:
    """Tell whether a call in the function's body has an ``ADDRESS=`` keyword."""
    return _names_address(function.__code__) or _source_names_address(function.__code__, _source(function))


def _names_address(code: types.CodeType) -> bool:
    for const in code.co_consts:
        if isinstance(const, tuple) and "ADDRESS" in const:
            return True
        if isinstance(const, types.CodeType) and const.co_name in _COMPREHENSIONS and _names_address(const):
            return True
    return False


_COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


@functools.lru_cache(maxsize=1024)
def _source_names_address(code: types.CodeType, source: str) -> bool:
    """Look in the source too: the compiler leaves out what stands behind ``if False:``, but a jump may lead there."""
    definition = _find(code, source) if "ADDRESS" in source else None
    queue: list[ast.AST] = list(definition.body) if definition is not None else []
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Call) and any(keyword.arg == "ADDRESS" for keyword in node.keywords):
            return True
        if not isinstance(node, NESTED):
            queue.extend(ast.iter_child_nodes(node))
    return False


def rewrite(
    function: types.FunctionType, enter: Callable[[], tuple[Frame, str | None]]
) -> tuple[types.FunctionType, frozenset[str]]:
    """Return the function in a form that jumps can enter, and its addresses.

    Args:
        function: The function as it was defined.
        enter: Called at its start; returns its frame and the address to start at, if any.

    Raises:
        AddressError: Where an address is given twice or is no constant.
    """
    code = function.__code__
    kept = function.__globals__.setdefault(_REWRITTEN, {})
    if code not in kept:  # an inner function is defined, and comes here, as often as its outer one runs
        kept[code] = _rewritten_code(function)
    new_code, addresses = kept[code]
    function.__globals__.setdefault(RUNTIME, _Runtime).enter = staticmethod(enter)  # type: ignore[attr-defined]
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    made = types.FunctionType(
        new_code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(cells[name] for name in new_code.co_freevars),
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__qualname__, made.__doc__ = function.__qualname__, function.__doc__
    made.__annotations__, made.__module__ = function.__annotations__, function.__module__
    return made, addresses


def _rewritten_code(function: types.FunctionType) -> tuple[types.CodeType, frozenset[str]]:
    if inspect.isgeneratorfunction(function):
        raise AddressError(
            f"{where(function)}: {function.__name__}() is a generator, into which no jump can lead; "
            "give the addresses to the function that runs it"
        )
    definition = _definition(function)
    writer = GuardWriter(function)
    PassJumps().visit(definition)
    body = definition.body
    docstring = body[:1] if ast.get_docstring(definition, clean=False) is not None else []
    new_body = writer.block(body[len(docstring) :])
    new = _function(definition.name, _without_defaults(definition.args), [*docstring, *writer.frame(new_body)])
    ast.copy_location(new, definition)
    return _compile(new, function), frozenset(writer.reachable)


def definition_of(function: types.FunctionType) -> ast.FunctionDef | None:
    """Return the function's definition as it stands in its file, ``None`` where its source is not found."""
    return _find(function.__code__, _source(function))


def _definition(function: types.FunctionType) -> ast.FunctionDef:
    """Return the function's definition, to be written into."""
    found = definition_of(function)
    if found is None:
        raise AddressError(
            f"{where(function)}: the source of {function.__name__}() was not found, so that its addresses cannot be "
            "reached; define it in a file"
        )
    return copy.deepcopy(found)


def _source(function: types.FunctionType) -> str:
    return "".join(linecache.getlines(function.__code__.co_filename, function.__globals__))


def _find(code: types.CodeType, source: str) -> ast.FunctionDef | None:
    for node in _definitions(source):
        if node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    return None


@functools.lru_cache(maxsize=16)
def _definitions(source: str) -> list[ast.FunctionDef]:
    try:
        return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    except SyntaxError:  # the file has changed since it was loaded
        return []


def _compile(definition: ast.FunctionDef, function: types.FunctionType) -> types.CodeType:
    """Compile the definition inside a function that has its free variables, and return its code."""
    code = function.__code__
    inner: ast.stmt = definition
    owner = function.__qualname__.split(".")[-2:-1]
    if owner and owner[0].isidentifier():  # a class, whose name goes into its private names
        inner = ast.ClassDef(owner[0], bases=[], keywords=[], body=[definition], decorator_list=[])
        if sys.version_info >= (3, 12):
            inner.type_params = []
    if code.co_freevars:
        bound = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in code.co_freevars]
        inner = _function("factory", None, [*bound, inner])
    module = ast.fix_missing_locations(ast.Module([inner], []))
    compiled = compile(module, code.co_filename, "exec", dont_inherit=True, flags=code.co_flags & _FUTURE)
    while not (compiled.co_name == definition.name and compiled.co_firstlineno == definition.lineno):
        compiled = next(const for const in compiled.co_consts if isinstance(const, types.CodeType))
    return compiled.replace(co_qualname=code.co_qualname)


_FUTURE = 0x1000000  # the `annotations` future, the only one left that changes how code compiles


def _function(name: str, arguments: ast.arguments | None, body: list[ast.stmt]) -> ast.FunctionDef:
    """Return a definition; parsed from text, since the fields that a definition must have differ between Pythons."""
    made = ast.parse(f"def {name}(): pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.args = arguments or made.args
    made.body = body
    return made


def _without_defaults(arguments: ast.arguments) -> ast.arguments:
    """Keep the parameters; their defaults are taken over from the function as they were evaluated."""
    bare = lambda arg: ast.copy_location(ast.arg(arg.arg), arg)  # noqa: E731
    return ast.arguments(
        posonlyargs=[bare(arg) for arg in arguments.posonlyargs],
        args=[bare(arg) for arg in arguments.args],
        vararg=bare(arguments.vararg) if arguments.vararg else None,
        kwonlyargs=[bare(arg) for arg in arguments.kwonlyargs],
        kw_defaults=[None] * len(arguments.kwonlyargs),
        kwarg=bare(arguments.kwarg) if arguments.kwarg else None,
        defaults=[],
    )
