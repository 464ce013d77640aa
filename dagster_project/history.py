"""``python -m dagster_project.history NAME``: how each asset of an autogram was last materialized, as JSON.

``{"sft_model": {"reused": false, "seconds": 31.2, "at": 1764000000.0}, ...}``. What does not belong here: what was
measured, which stands in storage.
"""

import json
import sys

import dagster as dg

__all__ = ["last_materializations", "main"]

_UNPARTITIONED = "leaderboard"


def last_materializations(instance: dg.DagsterInstance, name: str, assets: list[str]) -> dict[str, dict[str, object]]:
    """Return the last materialization of each asset: whether it was reused, its seconds, and when it was.

    Args:
        instance: Dagster's instance.
        name: The autogram.
        assets: The assets' names; those that were never materialized are left out.
    """
    found: dict[str, dict[str, object]] = {}
    for asset in assets:
        partitions = None if asset == _UNPARTITIONED else [name]
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=partitions), limit=1
        ).records
        if records and (event := records[0].asset_materialization) is not None:
            values = {key: value.value for key, value in event.metadata.items() if key in ("reused", "seconds")}
            found[asset] = {**values, "at": records[0].timestamp}
    return found


def main(argv: list[str] | None = None) -> int:
    """Print the last materializations of an autogram's assets; the assets' names follow the autogram's."""
    name, *assets = sys.argv[1:] if argv is None else argv
    with dg.DagsterInstance.get() as instance:
        print(json.dumps(last_materializations(instance, name, assets)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
