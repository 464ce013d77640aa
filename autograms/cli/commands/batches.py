"""``autograms batches``: the batches that an interrupted simulation left under way, and an end to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autograms.errors import SettingsError

if TYPE_CHECKING:
    from autograms.simulation.in_flight import Flight

__all__ = ["batches"]


def batches(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="An autogram of the project.")] = None,
    save_dir: Annotated[Path | None, typer.Option("--save_dir", help="Folder of autograms simulate.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel them.")] = False,
    api_key_file: Annotated[Path | None, typer.Option("--api_key_file", help='JSON file: {"openai": "KEY"}.')] = None,
) -> None:
    """Show the batches that an interrupted simulation left under way at its endpoints, or cancel them.

    The same simulation, run again, takes their answers. What cancelled batches have answered is paid, and taken too;
    their other calls are sent again.

    Example:

    \b
    autograms batches --save_dir simulation_data --cancel
    """
    from autograms.simulation.in_flight import Flights, batches_of

    journal = _journal(name, save_dir)
    flights = Flights(batches_of(journal)).load()
    for flight in flights:
        print(flight)
    if not flights:
        print(f"no batches under way in {journal.parent}")
    elif cancel:
        print(f"{_cancel(journal, flights, api_key_file)} of {len(flights)} cancelled")


def _journal(name: str | None, save_dir: Path | None) -> Path:
    from autograms.cli.orchestration import scratch_folder, storage_root
    from autograms.cli.results import JOURNAL
    from autograms.settings import load_project

    if (name is None) == (save_dir is None):
        raise SettingsError("name an autogram of the project, or the folder of a simulation (--save_dir)")
    if save_dir is not None:
        return save_dir / JOURNAL
    assert name is not None
    load_project().chatbot_file(name)
    return scratch_folder(storage_root()) / "conversation_memories" / name / JOURNAL


def _cancel(journal: Path, flights: list[Flight], api_key_file: Path | None) -> int:
    import asyncio

    from autograms.cli.configuration import read_api_keys
    from autograms.models.openai import OpenAIModel
    from autograms.simulation.in_flight import cancel_batches

    key = (read_api_keys(api_key_file) or {}).get("openai")
    endpoints = {flight.endpoint: flight.model for flight in flights}
    models = [OpenAIModel(model, base_url=url, api_key=key) for url, model in endpoints.items()]

    async def cancelled() -> int:
        try:
            return len(await cancel_batches(journal, [model.batches for model in models]))
        finally:
            for model in models:
                await model.close()

    return asyncio.run(cancelled())
