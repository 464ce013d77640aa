"""``python -m dagster_project.sync [NAME ...]``: make the partitions equal to the project's autograms.

With names, only those are registered. What does not belong here: running anything.
"""

import sys
from dataclasses import dataclass

import dagster as dg

from autograms.errors import AutogramsError, SettingsError
from autograms.settings import Project, load_project
from autograms.settings.chatbots import rootless
from autograms_assets.partitions import PARTITION_NAMES, is_partition_name

__all__ = ["Synced", "main", "sync"]

_PARTITIONS = "autogram"


@dataclass(frozen=True, slots=True)
class Synced:
    """What was changed.

    Attributes:
        names: The autograms that have a partition now.
        added: Those that had none.
        removed: Partitions whose file is gone.
        refused: Why a file cannot have one.
    """

    names: list[str]
    added: list[str]
    removed: list[str]
    refused: list[AutogramsError]


def sync(instance: dg.DagsterInstance, names: list[str] | None = None) -> Synced:
    """Register the partitions of a project's autograms, and remove those whose file is gone.

    Args:
        instance: Dagster's instance.
        names: Register these alone, and remove none.

    Raises:
        SettingsError: Where there is no project, or no such autogram in it.
    """
    project = load_project()
    known = names or project.names()
    refused = {name: reason for name in known if (reason := _refusal(project, name)) is not None}
    if names and refused:
        raise next(iter(refused.values()))
    wanted = [name for name in known if name not in refused]
    registered = set(instance.get_dynamic_partitions(_PARTITIONS))
    added = [name for name in wanted if name not in registered]
    removed = [] if names else sorted(registered - set(wanted))
    if added:
        instance.add_dynamic_partitions(_PARTITIONS, added)
    for name in removed:
        instance.delete_dynamic_partition(_PARTITIONS, name)
    return Synced(wanted, added, removed, list(refused.values()))


def _refusal(project: Project, name: str) -> AutogramsError | None:
    file = project.chatbot_file(name)
    if not is_partition_name(name):
        return SettingsError(f"{file}: {name!r} cannot be a partition's name; {PARTITION_NAMES}; rename the file")
    return rootless(file)


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0, or 2 with a message on standard error for each autogram that has no partition.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        with dg.DagsterInstance.get() as instance:
            synced = sync(instance, arguments or None)
    except (AutogramsError, dg.DagsterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for title, names in (("added", synced.added), ("removed", synced.removed)):
        if names:
            print(f"{title}: {', '.join(names)}")
    print(f"partitions: {', '.join(synced.names) or 'none'}")
    for refusal in synced.refused:
        print(f"error: {refusal}", file=sys.stderr)
    return 2 if synced.refused else 0


if __name__ == "__main__":
    sys.exit(main())
