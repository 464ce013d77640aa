"""Functions as tools: what the model is told of them, and what they may be called with."""

import asyncio
import datetime
import enum
import functools
import typing

import pytest
from pydantic import BaseModel, Field

from autograms.errors import ProgramError, ToolCallError
from autograms.primitives.tools import Toolbox


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    """Where somebody lives."""

    street: str
    number: int = 1


def find_flights(
    start: str,
    day: datetime.date,
    colour: Colour = Colour.RED,
    stops: typing.Annotated[int, Field(ge=0, description="Most stops.")] = 2,
    *,
    to: Address | None = None,
    title: typing.Literal["Mr", "Ms"] = "Ms",
) -> list[str]:
    """Find flights.

    The cheapest come first.

    Args:
        start (str): Where from,
            by its code.
        day: On which day: ISO.

    Returns:
        Flights.
    """
    return [start, day.isoformat(), colour.name, str(stops), to.street if to else "", title]


def told(*tools):
    return [schema["function"] for schema in Toolbox(list(tools)).schemas]


def run(tool, arguments):
    (schema,) = told(tool)
    return Toolbox([tool]).run(schema["name"], arguments)()


def test_name_description_and_parameters():
    (function,) = told(find_flights)
    assert function["name"] == "find_flights"
    assert function["description"] == "Find flights.\n\nThe cheapest come first."
    parameters = function["parameters"]
    assert parameters["type"] == "object"
    assert parameters["required"] == ["start", "day"]
    properties = parameters["properties"]
    assert properties["start"] == {"type": "string", "description": "Where from, by its code."}
    assert properties["day"] == {"type": "string", "format": "date", "description": "On which day: ISO."}
    assert properties["stops"] == {"type": "integer", "minimum": 0, "default": 2, "description": "Most stops."}
    assert properties["title"] == {"type": "string", "enum": ["Mr", "Ms"], "default": "Ms"}
    assert parameters["$defs"]["Address"]["properties"]["street"] == {"type": "string"}
    assert parameters["$defs"]["Colour"] == {"type": "string", "enum": ["red", "blue"]}


def test_arguments_come_as_the_hints_say():
    arguments = '{"start": "FRA", "day": "2026-01-02", "colour": "blue", "to": {"street": "Main"}}'
    assert run(find_flights, arguments) == ["FRA", "2026-01-02", "BLUE", "2", "Main", "Ms"]


def test_names_that_a_pydantic_model_keeps_for_itself():
    def odd(model_config: int, schema: str, self_: int = 0, _hidden: bool = False, copy: str = "x") -> list:
        return [model_config, schema, self_, _hidden, copy]

    assert run(odd, '{"model_config": 1, "schema": "s", "_hidden": true}') == [1, "s", 0, True, "x"]


def test_a_function_without_parameters_or_docstring():
    def now() -> str:
        return "noon"

    (function,) = told(now)
    assert function == {
        "name": "now",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    }
    assert run(now, "") == run(now, "{}") == "noon"


def test_methods_and_callable_objects():
    class Shop:
        def price(self, item: str) -> int:
            return len(item)

    class Clock:
        __name__ = "clock"

        def __call__(self, zone: str) -> str:
            return zone

    assert run(Shop().price, '{"item": "tea"}') == 3
    assert run(Clock(), '{"zone": "UTC"}') == "UTC"


def test_an_async_function():
    async def wait(seconds: float) -> dict:
        await asyncio.sleep(0)
        return {"waited": seconds}

    assert asyncio.run(run(wait, '{"seconds": 1}')) == {"waited": 1.0}


def test_results_become_plain_data():
    def made() -> Address:
        return Address(street="Main")

    def nothing() -> None:
        return None

    def opened() -> object:
        return object()

    assert run(made, "{}") == {"street": "Main", "number": 1}
    assert run(nothing, "{}") is None
    with pytest.raises(ProgramError, match=r"the result of the tool opened\(\) is no plain data"):
        run(opened, "{}")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ('{"start": 5, "day": "2026-01-02"}', "start: Input should be a valid string"),
        ('{"day": "soon", "start": "x"}', "day: Input should be a valid date"),
        ('{"start": "x"}', "day: Field required"),
        ('{"start": "x", "day": "2026-01-02", "days": 3}', "days: Extra inputs are not permitted"),
        ('{"start": "x", "day": "2026-01-02", "stops": -1}', "stops: Input should be greater than or equal to 0"),
        ('{"start": ', "arguments: Invalid JSON"),
        ("[]", "arguments: Input should be an object"),
    ],
)
def test_wrong_arguments_are_named(arguments, problem):
    with pytest.raises(ToolCallError) as raised:
        Toolbox([find_flights]).run("find_flights", arguments)
    assert f"find_flights() was called with wrong arguments: {problem}" in str(raised.value)


def test_an_unknown_tool_names_those_that_there_are():
    with pytest.raises(ToolCallError, match=r"there is no tool 'find_flight'; did you mean 'find_flights'\?"):
        Toolbox([find_flights]).run("find_flight", "{}")


def untyped(place, day: str):
    return place


def starred(*places: str):
    return places


def hidden(x: "Nowhere"):  # noqa: F821
    return x


def odd(x: object()):  # type: ignore[valid-type]
    return x


@pytest.mark.parametrize(
    ("tools", "problem"),
    [
        ([untyped], r"the parameter 'place' of untyped\(\) has no type hint.*def untyped\(place: str, \.\.\.\)"),
        ([starred], r"starred\(\) takes \*places"),
        ([hidden], r"hidden\(\) cannot be described by its type hints: name 'Nowhere'"),
        ([odd], r"odd\(\) cannot be described by its type hints"),
        ([lambda x: x], "'<lambda>' is no name for a tool"),
        ([functools.partial(find_flights, "FRA")], "is no function with a name"),
        ([Address], "is no function with a name"),
        (["find_flights"], "is no function with a name"),
        ([find_flights, find_flights], "two tools are named 'find_flights'"),
        ("find_flights", "expected a list of Python functions"),
        (find_flights, "expected a list of Python functions"),
    ],
)
def test_what_cannot_be_a_tool(tools, problem):
    with pytest.raises(ToolCallError, match=problem):
        Toolbox(tools)


def test_a_function_is_described_once_and_kept_no_longer_than_itself():
    import gc
    import weakref

    def fleeting(x: int) -> int:
        return x

    one, two = Toolbox([fleeting]), Toolbox([fleeting])
    assert one.schemas[0] is two.schemas[0]
    kept = weakref.ref(fleeting)
    del fleeting, one, two
    gc.collect()
    assert kept() is None
