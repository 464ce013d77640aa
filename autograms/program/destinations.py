"""Jumps whose address stands in the program's text, looked at before anything is paid.

What cannot be otherwise is refused when its function is defined: a jump in the function's own body, to a text, within
that function. Jumps that lead to whoever calls are warned of when the program is loaded, where nobody has the address.
What does not belong here: addresses that are computed.
"""

from __future__ import annotations

import ast
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from autograms.errors import AddressError, nearest
from autograms.program.guards import NESTED
from autograms.program.keywords import local_names, named, value_in
from autograms.program.rewrite import definition_of

__all__ = ["known_addresses", "leads_back", "leads_within", "refuse_unknown", "warn_of_lost"]

_F = TypeVar("_F", bound=Callable[..., Any])
_MARK, _KEPT = "__autograms_leads_within__", "__autograms_jumps__"
_PLACES = {"GOTO": (0, "destination"), "RETURNTO": (0, "destination"), "TRANSITION": (1, "transitions")}
_BACK = "returnto "
"""Where the address, or the mapping that holds addresses, stands: the position and the keyword."""
_IMPORTS = (ast.Import, ast.ImportFrom)
_MAY_CATCH = (ast.With, ast.AsyncWith)


def leads_within(function: _F) -> _F:
    """Mark a function that jumps within the function that calls it, such as ``GOTO``."""
    setattr(function, _MARK, True)
    return function


def leads_back(function: _F) -> _F:
    """Mark a function that jumps to a caller of the function that calls it, such as ``RETURNTO``."""
    setattr(function, _MARK, False)
    return function


def known_addresses(where: str, addresses: frozenset[str]) -> str:
    """Return the addresses that a function has, as a text."""
    return f"{where} has {', '.join(map(repr, sorted(addresses))) if addresses else 'no addresses'}"


def refuse_unknown(function: types.FunctionType, addresses: frozenset[str]) -> None:
    """Refuse a function with a jump to an address that it does not have.

    Args:
        function: The function as it was defined.
        addresses: Its addresses.

    Raises:
        AddressError: For the first such jump; the message names its line and the nearest address.
    """
    code = function.__code__
    if not any(name in _names(code) for name in _PLACES):
        return
    kept = function.__globals__.setdefault(_KEPT, {})
    if code not in kept:  # an inner function is defined, and comes here, as often as its outer one runs
        definition = definition_of(function)
        kept[code] = list(_found(definition.body)) if definition is not None else []
    for path, address, line in kept[code]:
        within = not address.startswith(_BACK) and getattr(_value(function, path), _MARK, False)
        if within and address not in addresses:
            raise AddressError(
                f"{code.co_filename}:{line}: {path[-1]} to {address!r}: no such address"
                f"{nearest(address, addresses)} ({known_addresses(f'{function.__name__}()', addresses)})"
            )


def warn_of_lost(program: Mapping[types.ModuleType, ast.Module]) -> None:
    """Warn of each jump to an address that nothing in the program has.

    Args:
        program: The syntax trees of the program's modules.
    """
    jumps = [(module, *jump) for module, tree in program.items() for jump in _jumps(tree)]
    known = _all_addresses(program) if jumps else None
    if known is None:
        return
    for module, path, address, line in jumps:
        sought = address.removeprefix(_BACK).strip()
        if sought in known or getattr(value_in(module, path), _MARK, None) is None:
            continue
        if path[0] not in local_names(program[module]):
            warnings.warn(
                f"{module.__file__}:{line}: {path[-1]} to {sought!r}: nothing in the program has this address"
                f"{nearest(sought, known)}",
                stacklevel=3,
            )


def _all_addresses(program: Mapping[types.ModuleType, ast.Module]) -> set[str] | None:
    """Return every address of a program, ``None`` where it may have more: a function imports, or one is no text."""
    known: set[str] = set()
    for module, tree in program.items():
        nodes = list(ast.walk(tree))
        if any(isinstance(inner, _IMPORTS) for node in nodes if isinstance(node, NESTED) for inner in ast.walk(node)):
            return None
        for value in (node.value for node in nodes if isinstance(node, ast.keyword) and node.arg == "ADDRESS"):
            if isinstance(value, ast.Constant):
                known.add(str(value.value))
            elif isinstance(value, ast.Name) and isinstance(vars(module).get(value.id), str):
                known.add(vars(module)[value.id])
            else:
                return None
    return known


def _jumps(tree: ast.AST) -> Iterator[tuple[tuple[str, ...], str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (path := named(node.func)):
            for address in _addresses(node, path[-1]):
                yield path, address, node.lineno


def _names(code: types.CodeType) -> tuple[str, ...]:
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return (*code.co_names, *(name for each in inner for name in each.co_names))


def _value(function: types.FunctionType, path: tuple[str, ...]) -> Any:
    """Return what a name, or a name in modules, stands for; ``None`` where it is a local or not known yet."""
    first, *rest = path
    code = function.__code__
    if first in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
        return None
    value = function.__globals__.get(first)
    return value_in(value, rest) if rest else value


def _found(nodes: Iterable[ast.AST]) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Yield the calls that may be jumps: the name that is called, the address, and the line."""
    for node in nodes:
        if isinstance(node, (*NESTED, *_MAY_CATCH)):
            continue
        if isinstance(node, (ast.Try, ast.TryStar)) and node.handlers:
            yield from _found([*node.handlers, *node.orelse, *node.finalbody])
            continue
        if isinstance(node, ast.Call):
            path = named(node.func)
            for address in _addresses(node, path[-1]) if path else ():
                yield path, address, node.lineno
        yield from _found(ast.iter_child_nodes(node))


def _addresses(call: ast.Call, name: str) -> Iterator[str]:
    if name not in _PLACES:
        return
    place, parameter = _PLACES[name]
    given = [each.value for each in call.keywords if each.arg == parameter]
    if not any(isinstance(each, ast.Starred) for each in call.args):
        given += call.args[place : place + 1]
    for value in given:
        for node in value.values if isinstance(value, ast.Dict) else [value]:
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str):
                yield text
