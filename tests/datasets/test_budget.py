from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autograms.datasets import build_dpo, build_sft
from autograms.datasets.budget import beyond_budget, estimate_tokens
from autograms.settings import DatasetSettings
from tests.memories import desk_memories


def words(messages: list[dict[str, Any]]) -> int:
    return sum(len(message["content"].split()) for message in messages)


def test_the_training_rows_keep_to_the_budget() -> None:
    memories = desk_memories(40)
    whole = build_sft(memories, DatasetSettings(max_tokens_total=10**9)).report
    half = build_sft(memories, DatasetSettings(max_tokens_total=(whole.tokens or 0) // 2)).report
    assert whole.tokens is not None
    assert half.tokens is not None
    assert 0.9 * whole.tokens // 2 < half.tokens <= whole.tokens // 2
    assert half.dropped["beyond the token budget"] == whole.train - half.train > 0
    assert half.validation == whole.validation


def test_a_given_counter_counts() -> None:
    memories = desk_memories(10)
    settings = DatasetSettings(max_tokens_total=60)
    built = build_sft(memories, settings, count_tokens=words)
    rows = [row for row in built.table.to_pylist() if row["split"] == "train"]
    counted = sum(words([*row["prompt"], {"content": row["completion"]}]) for row in rows)
    assert built.report.tokens == counted <= 60
    assert built.report.token_counter == "the tokenizer that was given"
    assert f"take {counted} tokens, as counted by the tokenizer that was given" in built.report.as_markdown()


def test_an_estimate_says_so() -> None:
    report = build_sft(desk_memories(3), DatasetSettings(max_tokens_total=10**6)).report
    assert "as counted by an estimate" in report.as_markdown()


def test_without_a_budget_nothing_is_counted() -> None:
    report = build_sft(desk_memories(3), DatasetSettings(), count_tokens=words).report
    assert (report.tokens, report.token_counter) == (None, None)


def test_a_pair_counts_both_answers() -> None:
    settings = DatasetSettings(max_tokens_total=10**6, validation_fraction=0)
    built = build_dpo(desk_memories(1), settings, count_tokens=words)
    rows = built.table.to_pylist()
    expected = sum(2 * words(row["prompt"]) + len((row["chosen"] + " " + row["rejected"]).split()) for row in rows)
    assert built.report.tokens == expected


def test_the_order_of_the_conversations_does_not_matter_and_the_seed_does() -> None:
    memories = desk_memories(30)

    def ids(seed: int, *, backwards: bool = False) -> set[str]:
        settings = DatasetSettings(max_tokens_total=500, split_seed=seed, validation_fraction=0)
        ordered = list(reversed(memories)) if backwards else memories
        return set(build_sft(ordered, settings).table["id"].to_pylist())

    assert ids(0) == ids(0, backwards=True)
    assert ids(0) != ids(1)


rows = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 50)), max_size=40)


@given(rows, st.integers(1, 500))
def test_what_fits_is_within_the_budget_and_nothing_more_fits(drawn: list[tuple[int, int]], budget: int) -> None:
    places, tokens = [row[0] for row in drawn], [row[1] for row in drawn]
    beyond = beyond_budget(range(len(drawn)), places, tokens, budget=budget, seed=3)
    used = sum(tokens) - sum(tokens[row] for row in beyond)
    assert used <= budget
    assert all(used + tokens[row] > budget for row in beyond)


def test_the_estimate_needs_no_spaces() -> None:
    assert estimate_tokens([{"role": "user", "content": "a" * 400}]) == 104
    assert estimate_tokens([{"role": "user", "content": "灯" * 40}]) == 34
    assert estimate_tokens([{"role": "assistant", "content": None}]) == 4
