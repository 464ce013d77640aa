"""``python -m dagster_project.sync [NAME ...]``: make the partitions equal to the project's autograms.

With names, only those are registered. What does not belong here: running anything.
"""

import sys
from dataclasses import dataclass

import dagster as dg

from autograms.errors import AutogramsError, SettingsError
from autograms.settings import load_project
from autograms_assets.partitions import is_partition_name
from dagster_project.resources import project_root

__all__ = ["Synced", "main", "sync"]

_PARTITIONS = "autogram"


@dataclass(frozen=True, slots=True)
class Synced:
    """What was changed.

    Attributes:
        names: The autograms that have a partition now.
        added: Those that had none.
        removed: Partitions whose file is gone.
        refused: Files whose name cannot be a partition.
    """

    names: list[str]
    added: list[str]
    removed: list[str]
    refused: list[str]


def sync(instance: dg.DagsterInstance, names: list[str] | None = None) -> Synced:
    """Register the partitions of a project's autograms, and remove those whose file is gone.

    Args:
        instance: Dagster's instance.
        names: Register these alone, and remove none.

    Raises:
        SettingsError: Where there is no project, or no such autogram in it.
    """
    project = load_project(project_root())
    for name in names or []:
        project.chatbot_file(name)
        if not is_partition_name(name):
            raise SettingsError(f"{name!r} cannot be a partition; expected letters, digits, '_', '.' and '-' only")
    known = names or project.names()
    wanted = [name for name in known if is_partition_name(name)]
    registered = set(instance.get_dynamic_partitions(_PARTITIONS))
    added = [name for name in wanted if name not in registered]
    removed = [] if names else sorted(registered - set(wanted))
    if added:
        instance.add_dynamic_partitions(_PARTITIONS, added)
    for name in removed:
        instance.delete_dynamic_partition(_PARTITIONS, name)
    return Synced(wanted, added, removed, [name for name in known if name not in wanted])


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        0, or 2 with one message on standard error.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        with dg.DagsterInstance.get() as instance:
            synced = sync(instance, arguments or None)
    except (AutogramsError, dg.DagsterError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for title, names in (("added", synced.added), ("removed", synced.removed), ("refused", synced.refused)):
        if names:
            print(f"{title}: {', '.join(names)}")
    print(f"partitions: {', '.join(synced.names) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
