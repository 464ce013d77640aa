"""Making only what is stale, whoever asks: the UI, the command line, a backfill or the sensor.

Dagster runs what it is told to run; skipping is decided here, by the stamp that is stored beside each value. What does
not belong here: what a result depends on (each asset says so itself).
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from autograms_assets.fingerprints import combine, value_version
from autograms_assets.io import table_metadata
from autograms_assets.locks import alone
from autograms_assets.stamps import Stamp, Verdict, stamped
from autograms_assets.stored import Folder, Stored

__all__ = ["FORCE_TAG", "AssetConfig", "Made", "Request", "reuse_or_make"]

FORCE_TAG = "autograms/force"


class AssetConfig(dg.Config):
    """What can be set for one materialization; the launchpad shows the descriptions."""

    force: bool = Field(
        default=False,
        description="Make it again although nothing changed, and pay for it again. "
        "The run's tag `autograms/force: true` says so for all assets of the run.",
    )


@dataclass(frozen=True)
class Request:
    """Who asks for a value.

    Attributes:
        force: Whether to make it again whatever is stored.
        log: The run's log.
        checks: The names of the asset's checks; any where unset.
    """

    force: bool
    log: logging.Logger
    checks: frozenset[str] | None = None

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, config: AssetConfig) -> "Request":
        """Return what an asset's context and configuration ask for."""
        tag = context.run.tags.get(FORCE_TAG, "").lower()
        checks = frozenset(spec.name for spec in context.assets_def.check_specs)
        return cls(config.force or tag in ("true", "1", "yes"), context.log, checks)


@dataclass(frozen=True)
class Made:
    """A value that was just made.

    Attributes:
        version: Hash of its content.
        summary: What people look at: plain values, ``{"md": text}`` or ``{"path": text}``; ``rows`` is a table's size.
        checks: What the checks found.
        table: The table; ``None`` for a folder, which stands in its place already.
        stored: Called once the value is stored: clears away what it makes needless.
    """

    version: str
    summary: dict[str, Any] = field(default_factory=dict)
    checks: tuple[Verdict, ...] = ()
    table: pa.Table | None = None
    stored: Callable[[], None] = lambda: None


def reuse_or_make(
    place: Stored | Folder,
    depends_on: Mapping[str, Any],
    make: Callable[[], Made],
    *,
    request: Request,
    holds: Callable[[Stamp], bool] = lambda stamp: True,
) -> dg.MaterializeResult:
    """Return what is stored where its fingerprint is still right; make it otherwise.

    Args:
        place: Where the value is stored.
        depends_on: All that the value depends on, by name: plain JSON values.
        make: Makes the value.
        request: Who asks.
        holds: Whether a stored value with the right fingerprint may be reused at all.
    """
    inputs = {name: value_version(value)[:12] for name, value in depends_on.items()}
    fingerprint = combine(dict(depends_on))

    def kept() -> Stamp | None:
        stamp = place.stamp()
        right = stamp is not None and stamp.fingerprint == fingerprint and not request.force and holds(stamp)
        return stamp if right else None

    stamp = kept()
    if stamp is None:
        with alone(place, request.log) as ensure_alone:
            stamp = kept()  # another run may have made it meanwhile
            if stamp is None:
                return _made_anew(place, fingerprint, inputs, make, request, ensure_alone)
    request.log.info(f"reused: nothing that it depends on has changed (fingerprint {fingerprint[:12]})")
    return _result(place, stamp, request, reused=True, changed="")


def _made_anew(
    place: Stored | Folder,
    fingerprint: str,
    inputs: dict[str, str],
    make: Callable[[], Made],
    request: Request,
    ensure_alone: Callable[[], None],
) -> dg.MaterializeResult:
    changed = "forced" if request.force else _reason(place.stamp(), inputs)
    request.log.info(f"making: {changed}")
    began = time.monotonic()
    made = make()
    seconds = round(time.monotonic() - began, 3)
    stamp = Stamp(fingerprint, made.version, inputs, made.summary, made.checks, seconds)
    ensure_alone()
    if isinstance(place, Folder):
        place.write(stamp)
    else:
        assert made.table is not None, "an asset whose place is a file makes a table"
        place.write(stamped(made.table, stamp).to_reader())
    try:
        made.stored()
    except OSError as error:
        request.log.warning(f"stored, but not cleared up: {error}")
    return _result(place, stamp, request, reused=False, changed=changed)


def _reason(stamp: Stamp | None, inputs: Mapping[str, str]) -> str:
    if stamp is None:
        return "nothing is stored yet"
    names = [name for name in {**stamp.inputs, **inputs} if stamp.inputs.get(name) != inputs.get(name)]
    return f"changed: {', '.join(names)}" if names else "what is stored is not whole"


def _result(
    place: Stored | Folder, stamp: Stamp, request: Request, *, reused: bool, changed: str
) -> dg.MaterializeResult:
    metadata: dict[str, Any] = {"reused": reused}  # the run's log shows the first few, so what came out stands first
    if changed:
        metadata["made because"] = changed
    shown = {name: value for name, value in stamp.summary.items() if value not in (None, {}, []) and name != "rows"}
    metadata |= {name: _shown(value) for name, value in shown.items()}
    if not reused:
        metadata["seconds"] = stamp.seconds
    metadata |= {
        "fingerprint": stamp.fingerprint[:12],
        "path": dg.MetadataValue.path(str(place.path)),
    }
    if isinstance(place, Stored):
        metadata |= table_metadata(place.schema(), stamp.summary.get("rows", 0))
    return dg.MaterializeResult(
        metadata=metadata,
        data_version=dg.DataVersion(stamp.version),
        check_results=[_check_result(verdict) for verdict in stamp.checks if _is_known(verdict, request)],
    )


def _is_known(verdict: Verdict, request: Request) -> bool:
    """Return whether there is such a check: an earlier version may have stored what one found that is no more."""
    return request.checks is None or verdict.check in request.checks


def _shown(value: Any) -> Any:
    if isinstance(value, dict) and "md" in value:
        return dg.MetadataValue.md(value["md"])
    if isinstance(value, dict) and "path" in value:
        return dg.MetadataValue.path(value["path"])
    if isinstance(value, dict | list):
        return dg.MetadataValue.json(value)
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _check_result(verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=verdict.check,
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.error else dg.AssetCheckSeverity.WARN,
        description=verdict.description,
    )
