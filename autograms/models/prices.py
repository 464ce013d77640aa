"""What a call costs: the price table that comes with the package, and the user's own over it.

What does not belong here: counting tokens, and budgets.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from autograms.errors import SettingsError, nearest

__all__ = ["Price", "PriceTable", "cost_text", "load_prices", "price_of"]

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
_FIELDS = ("input", "output", "cached_input")
_KEYS = ("date", "batch", "models")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens.

    Attributes:
        input: Prompt tokens.
        output: Completion tokens.
        cached_input: Prompt tokens that the endpoint had cached; as ``input`` where unset.
    """

    input: float
    output: float
    cached_input: float | None = None

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Return the price of a call in US dollars; the cached tokens are part of the input tokens."""
        cached = self.input if self.cached_input is None else self.cached_input
        return (
            (input_tokens - cached_tokens) * self.input + cached_tokens * cached + output_tokens * self.output
        ) / 1e6

    def times(self, share: float) -> Price:
        """Return a share of the price."""
        cached = None if self.cached_input is None else self.cached_input * share
        return Price(self.input * share, self.output * share, cached)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model.

    Attributes:
        date: The date of the prices, ``YYYY-MM-DD``.
        models: Prices by the model's name without its provider.
        batch: The share of them that calls through the batch API cost.
    """

    date: str
    models: dict[str, Price]
    batch: float = 1.0

    def find(self, model: str) -> Price | None:
        """Return a model's price, ``None`` where it is unknown.

        Args:
            model: ``provider/model`` or the name alone, a dated snapshot or a finetuned model (``ft:BASE:...``).
        """
        for name in (model, model.partition("/")[2]):
            if name.startswith("ft:"):
                name = "ft:" + name.split(":")[1]
            price = self.models.get(name) or self.models.get(_DATED.sub("", name))
            if price is not None:
                return price
        return None


def load_prices(overlay: Path | None = None) -> PriceTable:
    """Read the package's prices, and the user's over them.

    Args:
        overlay: The user's file; the one that ``AUTOGRAMS_PRICES`` names where unset.

    Raises:
        SettingsError: Where the user's file is missing or wrong.
    """
    table = _read(Path(__file__).with_name("prices.toml"), PriceTable("", {}))
    named = overlay or os.environ.get("AUTOGRAMS_PRICES")
    return _read(Path(named), table) if named else table


def price_of(model: str, *, batch: bool = False) -> Price | None:
    """Return a model's price by :func:`load_prices`, ``None`` where it is unknown; the files are read once.

    Args:
        model: As in :meth:`PriceTable.find`.
        batch: The price of calls through the batch API.

    Raises:
        SettingsError: Where the user's file is missing or wrong.
    """
    table = _table(os.environ.get("AUTOGRAMS_PRICES") or "")
    price = table.find(model)
    return price.times(table.batch) if price is not None and batch else price


@lru_cache(maxsize=4)
def _table(overlay: str) -> PriceTable:
    return load_prices(Path(overlay) if overlay else None)


def _read(path: Path, below: PriceTable) -> PriceTable:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"price table {str(path)!r} cannot be read: {error.strerror}; set AUTOGRAMS_PRICES to an existing file"
        ) from None
    except ValueError as error:
        raise SettingsError(f"price table {str(path)!r} is not TOML: {error}") from None
    for key in data:
        if key not in _KEYS:
            raise SettingsError(f"price table {str(path)!r}: unknown key {key!r}{nearest(key, _KEYS)}")
    models = data.get("models", {})
    if not isinstance(models, dict):
        raise SettingsError(f"price table {str(path)!r}: 'models' must be a table of models")
    batch = data.get("batch", below.batch)
    if isinstance(batch, bool) or not isinstance(batch, int | float) or batch < 0:
        raise SettingsError(f"price table {str(path)!r}: 'batch' must be a share of the prices, such as 0.5")
    own = {name: _price(path, name, entry) for name, entry in models.items()}
    return PriceTable(str(data.get("date", "")) or below.date, {**below.models, **own}, float(batch))


def _price(path: Path, name: str, entry: Any) -> Price:
    where = f"price table {str(path)!r}, model {name!r}"
    if not isinstance(entry, dict) or not {"input", "output"} <= set(entry):
        raise SettingsError(f"{where}: expected {{ input = DOLLARS, output = DOLLARS }} for a million tokens")
    for key, value in entry.items():
        if key not in _FIELDS:
            raise SettingsError(f"{where}: unknown key {key!r}{nearest(key, _FIELDS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise SettingsError(f"{where}: {key!r} must be a number of dollars, 0 or more, not {value!r}")
    return Price(**{key: float(value) for key, value in entry.items()})


def cost_text(cost_usd: float, unpriced: int) -> str:
    """Return what calls cost as text.

    Args:
        cost_usd: Of those with a known price, in US dollars.
        unpriced: How many have none.
    """
    if not unpriced:
        return f"${cost_usd:.4f}"
    return f"${cost_usd:.4f} and {unpriced} calls of unknown price" if cost_usd else "price unknown"
