"""``autograms batches``: the batches that an interrupted simulation left under way, and an end to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autograms.cli.options import ApiKeyFile
from autograms.errors import SettingsError

__all__ = ["batches"]


def batches(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="An autogram of the project.")] = None,
    save_dir: Annotated[Path | None, typer.Option("--save_dir", help="Folder of autograms simulate.")] = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel them.")] = False,
    base_url: Annotated[str | None, typer.Option("--base_url", help="URL of the endpoint, to cancel there.")] = None,
    api_key_file: ApiKeyFile = None,
) -> None:
    """Show the batches that an interrupted simulation left under way at its endpoints, or cancel them.

    The same simulation, run again, takes their answers. What cancelled batches have answered is paid, and taken too;
    their other calls are sent again. The key goes to the endpoint of the settings or of --base_url alone.

    Example:

    \b
    autograms batches --save_dir simulation_data --cancel
    """
    from autograms.simulation.in_flight import Flights, batches_of

    journal, endpoints = _simulation(name, save_dir)
    flights = Flights(batches_of(journal)).load()
    for flight in flights:
        print(flight)
    if not flights:
        print(f"no batches under way in {journal.parent}")
    elif cancel:
        cancelled = _cancel(journal, {base_url} if base_url else endpoints, api_key_file)
        print(f"{cancelled} of {len(flights)} cancelled")
        if cancelled < len(flights):
            print("batches at other endpoints are left alone; name their endpoint with --base_url")


def _simulation(name: str | None, save_dir: Path | None) -> tuple[Path, set[str | None]]:
    """Return a simulation's journal, and the endpoints of its models as far as the settings name them."""
    from autograms.cli.orchestration import journal_of, storage_root
    from autograms.cli.results import JOURNAL
    from autograms.settings import load_project

    if (name is None) == (save_dir is None):
        raise SettingsError("name an autogram of the project, or the folder of a simulation (--save_dir)")
    if save_dir is not None:
        return save_dir / JOURNAL, {None}
    assert name is not None
    project = load_project()
    project.chatbot_file(name)
    settings = project.settings(name)
    configs = (settings.config, settings.user_config)
    endpoints = {settings.base_url, *(config.get("base_url", settings.base_url) for config in configs)}
    return journal_of(name, storage_root()), endpoints


def _cancel(journal: Path, endpoints: set[str | None], api_key_file: Path | None) -> int:
    import asyncio

    from autograms.cli.configuration import read_openai_key
    from autograms.models.openai import OpenAIModel
    from autograms.simulation.in_flight import cancel_batches

    key = read_openai_key(api_key_file)
    models = [OpenAIModel("any", base_url=url, api_key=key) for url in endpoints]

    async def cancelled() -> int:
        try:
            return len(await cancel_batches(journal, [model.batches for model in models]))
        finally:
            for model in models:
                await model.close()

    return asyncio.run(cancelled())
