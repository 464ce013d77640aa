"""``autograms scenarios``: scenarios that a model writes from a description and examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograms.cli.options import ApiKeyFile, BaseUrl
from autograms.errors import SettingsError

__all__ = ["scenarios"]


def scenarios(
    description: Annotated[
        str, typer.Option("--description", help="What the chatbot does, and what its users may want.")
    ],
    output: Annotated[Path, typer.Option("--output", help="JSON file for the scenarios.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many scenarios.")] = 20,
    fields: Annotated[
        str, typer.Option("--fields", help="Keywords of the userbot, with commas; the examples' where unset.")
    ] = "",
    examples: Annotated[Path | None, typer.Option("--examples", help="File with scenarios of the same kind.")] = None,
    personas: Annotated[
        int, typer.Option("--personas", min=0, help="Write so many people first, and scenarios for each of them.")
    ] = 0,
    num_turns: Annotated[int, typer.Option("--num_turns", min=1, help="User turns of a conversation.")] = 2,
    user_goes_first: Annotated[bool, typer.Option("--user_goes_first", help="The user speaks first.")] = False,
    model: Annotated[str, typer.Option("--model", help="The model that writes.")] = "openai/gpt-4o-mini",
    base_url: BaseUrl = None,
    api_key_file: ApiKeyFile = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the calls and of the scenarios.")] = 0,
    allow_overwrite: Annotated[bool, typer.Option("--allow_overwrite", help="Replace the file.")] = False,
) -> None:
    """Let a model write scenarios: people and what they want, each different, with a seed of its own.

    Example:

    \b
    autograms scenarios --description "a bank's help desk" --fields request,mood --count 50 --personas 8 \\
        --output my_project/scenarios/bank.json
    """
    import json

    from autograms.cli.configuration import read_openai_key
    from autograms.conversation.atomic import replacing
    from autograms.models import resolve_model
    from autograms.simulation.scenario_writer import Commission, write_scenarios
    from autograms.simulation.scenarios import load_scenarios

    if output.exists() and not allow_overwrite:
        raise SettingsError(f"{output} exists; name another --output, or give --allow_overwrite")
    commission = Commission(
        description,
        count,
        fields=tuple(name.strip() for name in fields.split(",") if name.strip()),
        examples=tuple(load_scenarios(examples)) if examples is not None else (),
        personas=personas,
        num_turns=num_turns,
        user_goes_first=user_goes_first,
        seed=seed,
    )
    commission.keywords()
    written = write_scenarios(
        resolve_model(model, base_url=base_url, api_key=read_openai_key(api_key_file)), commission
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as file:
        rows = [scenario.to_dict() for scenario in written.scenarios]
        file.write(json.dumps(rows, ensure_ascii=False, indent=2).encode())
    left_out = f"{written.calls} calls, {written.repeats} repeats left out"
    print(f"wrote {len(written.scenarios)} scenarios to {output}: {left_out}")
    if len(written.scenarios) < count:
        print(f"{count} were asked for; the model repeats itself: give more personas, fields or another description")
