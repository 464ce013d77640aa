from __future__ import annotations

from pathlib import Path

import pytest

from autograms.errors import SettingsError
from autograms.models.prices import Price, cost_text, load_prices, price_of


def test_the_table_is_dated() -> None:
    assert load_prices().date.count("-") == 2


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", "ft:gpt-4o-mini"),
    ],
)
def test_names_find_their_price(name: str, base: str) -> None:
    price = price_of(name)
    assert price is not None
    assert price == load_prices().models[base]


def test_an_unknown_model_has_no_price() -> None:
    assert price_of("openai/my-own-model") is None


def test_cost_counts_cached_tokens_apart() -> None:
    price = Price(input=2.0, output=10.0, cached_input=0.5)
    assert price.cost(1_000_000, 100_000, 400_000) == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 1.0)
    assert Price(input=2.0, output=0.0).cost(1_000_000, 0, 400_000) == pytest.approx(2.0)


def test_batches_cost_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    price, half = price_of("gpt-4o-mini"), price_of("gpt-4o-mini", batch=True)
    assert price is not None
    assert half is not None
    assert half.cost(1000, 500, 200) == pytest.approx(price.cost(1000, 500, 200) / 2)
    assert price_of("openai/my-own-model", batch=True) is None
    own = tmp_path / "prices.toml"
    own.write_text("batch = 0.8")
    monkeypatch.setenv("AUTOGRAMS_PRICES", str(own))
    assert price_of("gpt-4o-mini", batch=True) == price.times(0.8)
    assert load_prices().date == load_prices(None).date != ""


def test_the_users_prices_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('date = "2030-01-01"\n[models]\n"mine" = { input = 1, output = 2 }\n')
    monkeypatch.setenv("AUTOGRAMS_PRICES", str(own))
    assert price_of("openai/mine") == Price(1.0, 2.0)
    assert price_of("gpt-4o-mini") is not None
    assert load_prices().date == "2030-01-01"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("not toml at all [", "not TOML"),
        ('batch = "half"', "'batch' must be a share"),
        ("modles = {}", "did you mean 'models'"),
        ("models = 3", "must be a table"),
        ('[models]\n"m" = { input = 1 }', "model 'm'"),
        ('[models]\n"m" = { input = 1, output = 2, inptu = 3 }', "unknown key 'inptu'"),
        ('[models]\n"m" = { input = -1, output = 2 }', "0 or more"),
    ],
)
def test_a_wrong_table_is_named(tmp_path: Path, content: str, says: str) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(content)
    with pytest.raises(SettingsError, match=says) as raised:
        load_prices(own)
    assert str(own) in str(raised.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AUTOGRAMS_PRICES"):
        load_prices(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("cost", "unpriced", "text"),
    [
        (0.0, 0, "$0.0000"),
        (1.25, 0, "$1.2500"),
        (1.25, 3, "$1.2500 and 3 calls of unknown price"),
        (0, 3, "price unknown"),
    ],
)
def test_a_cost_that_is_not_known_is_not_told_as_nothing(cost: float, unpriced: int, text: str) -> None:
    assert cost_text(cost, unpriced) == text
