"""Python functions as tools: what the model is told of them, and the check of what it calls them with.

A tool's name, description and parameters come from the function: its name, its docstring (the ``Args:`` section
describes parameters), and its type hints, which may be anything that pydantic can validate. What does not belong here:
asking the model, and the record (``tool_rounds``).
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from autograms.errors import ProgramError, ToolCallError, nearest

__all__ = ["ToolRun", "Toolbox"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECTION = re.compile(r"^(\w[\w ]*):[ \t]*$", re.MULTILINE)
_PARAMETERS = ("Args", "Arguments", "Parameters")
_PARAMETER = re.compile(r"^([ \t]+)\*{0,2}(\w+)(?:[ \t]*\([^)]*\))?:[ \t]*(.*)$")


@dataclass(frozen=True, slots=True)
class _Described:
    """What is known of a function by itself.

    Attributes:
        schema: The tool in the chat API's own form.
        arguments: The model that arguments are validated by; its fields' aliases are the parameters.
    """

    schema: dict[str, Any]
    arguments: type[BaseModel]


class ToolRun:
    """One run of a tool: what a step runs.

    Args:
        function: The tool.
        arguments: What the model called it with, as it wrote it.
        keywords: The same, validated.
    """

    __slots__ = ("arguments", "function", "keywords")

    def __init__(self, function: Callable[..., Any], arguments: str, keywords: dict[str, Any]) -> None:
        self.function = function
        self.arguments = arguments
        self.keywords = keywords

    def __call__(self) -> Any:
        """Run the tool, and return its result as plain data, or, of an ``async`` function, what leads to it.

        Raises:
            ProgramError: Where the result cannot be made plain data.
        """
        result = self.function(**self.keywords)
        return self._awaited(result) if inspect.isawaitable(result) else self._plain(result)

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        return self._plain(await result)

    def _plain(self, result: Any) -> Any:
        try:
            return to_jsonable_python(result)
        except (PydanticSerializationError, ValueError) as error:
            raise ProgramError(
                f"the result of the tool {self.function.__name__}() is no plain data and cannot be recorded: {error}"
            ) from None


class Toolbox:
    """The tools that a call offers the model.

    Args:
        tools: Python functions; or tools in the chat API's own form, which the model is told of and cannot be run.

    Raises:
        ToolCallError: Where a tool cannot be described.

    Attributes:
        schemas: The tools in the chat API's own form.
    """

    def __init__(self, tools: Any) -> None:
        if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence):
            raise ToolCallError(f"tools={tools!r:.200}: expected a list of Python functions")
        self.schemas: list[dict[str, Any]] = []
        self._tools: dict[str, tuple[Callable[..., Any], _Described] | None] = {}
        for tool in tools:
            described = None if isinstance(tool, Mapping) else _describe(tool)
            schema: dict[str, Any] = dict(tool) if described is None else described.schema
            name = schema.get("function", {}).get("name", "")
            if described is not None and name in self._tools:
                raise ToolCallError(f"two tools are named {name!r}; the model tells tools apart by their names")
            self.schemas.append(schema)
            self._tools[name] = None if described is None else (tool, described)

    @property
    def names(self) -> list[str]:
        """The tools' names."""
        return list(self._tools)

    def is_function(self, name: str) -> bool:
        """Whether a name is that of no tool, or of one that can be run."""
        return self._tools.get(name, True) is not None

    def run(self, name: str, arguments: str) -> ToolRun:
        """Return the run of a tool that the model calls, its arguments validated.

        Raises:
            ToolCallError: Where there is no such tool, or the arguments are not those that it takes.
        """
        found = self._tools.get(name)
        if found is None:
            listed = ", ".join(self._tools)
            raise ToolCallError(f"there is no tool {name!r}{nearest(name, self._tools)}; the tools are: {listed}")
        function, described = found
        try:
            model = described.arguments.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolCallError(f"{name}() was called with wrong arguments: {_problems(error)}") from None
        given = model.model_fields_set
        fields = described.arguments.model_fields
        keywords = {str(field.alias): getattr(model, key) for key, field in fields.items() if key in given}
        return ToolRun(function, arguments, keywords)


def _problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}" for problem in problems)


# --------------------------------------------------------------------------------------------------- from functions

_known: WeakKeyDictionary[Any, _Described] = WeakKeyDictionary()


def _describe(tool: Any) -> _Described:
    """Describe a function; what was found stays for as long as the function does."""
    key = getattr(tool, "__func__", tool)
    try:
        known = _known.get(key)
    except TypeError:
        return _read(tool)
    if known is None:
        known = _known[key] = _read(tool)
    return known


def _read(tool: Any) -> _Described:
    name = getattr(tool, "__name__", None)
    if isinstance(tool, (type, functools.partial)) or not callable(tool) or not isinstance(name, str):
        raise ToolCallError(f"tools: {tool!r:.200} is no function with a name; expected functions ('def')")
    if not _NAME.fullmatch(name):
        raise ToolCallError(f"tools: {name!r} is no name for a tool; define a function ('def') with a plain name")
    text, parameters = _docstring(inspect.getdoc(tool) or "")
    try:
        fields = dict(_fields(tool, name, parameters))
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)  # type: ignore[call-overload]
        schema = _untitled(model.model_json_schema())
    except (PydanticUserError, NameError, TypeError) as error:
        problem = str(error).splitlines()[0]
        raise ToolCallError(f"tools: {name}() cannot be described by its type hints: {problem}") from None
    schema.setdefault("properties", {})
    schema.pop("description", None)
    function = {"name": name, "description": text, "parameters": schema}
    return _Described({"type": "function", "function": {k: v for k, v in function.items() if v != ""}}, model)


def _fields(tool: Any, name: str, described: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield a field for each parameter. Its own name is free of what pydantic keeps for itself."""
    plain = tool if inspect.isroutine(tool) else type(tool).__call__
    hints = typing.get_type_hints(plain, include_extras=True)
    for number, (parameter, about) in enumerate(inspect.signature(tool).parameters.items()):
        if about.kind not in (about.POSITIONAL_OR_KEYWORD, about.KEYWORD_ONLY):
            raise ToolCallError(f"tools: {name}() takes {about}; tools take parameters with names of their own")
        if parameter not in hints:
            raise ToolCallError(
                f"tools: the parameter {parameter!r} of {name}() has no type hint; the model is told types by the "
                f"hints, and arguments are checked by them: def {name}({parameter}: str, ...)"
            )
        default = ... if about.default is about.empty else about.default
        about_it = {"description": described[parameter]} if parameter in described else {}
        field = Field(default, alias=parameter, **about_it)  # type: ignore[call-overload]
        yield f"parameter_{number}", (hints[parameter], field)


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return what stands before a docstring's first section, and its descriptions of parameters."""
    parts = _SECTION.split(text)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    listed = next((sections[title] for title in _PARAMETERS if title in sections), "")
    described: dict[str, list[str]] = {}
    indent, name = None, ""
    for line in listed.splitlines():
        found = _PARAMETER.match(line)
        if found and (indent is None or len(found[1]) <= len(indent)):
            indent, name = found[1], found[2]
            described[name] = [found[3]]
        elif name and line.strip():
            described[name].append(line.strip())
    return parts[0].strip(), {name: " ".join(lines).strip() for name, lines in described.items()}


def _untitled(schema: Any) -> Any:
    """Return a JSON schema without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {}
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            plain[key] = {name: _untitled(part) for name, part in value.items()}
        elif key not in ("title", "default", "enum", "const", "examples"):
            plain[key] = _untitled(value)
        elif key != "title":
            plain[key] = value
    return plain
