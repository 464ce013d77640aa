from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograms.datasets.tags import parse_tags
from autograms.errors import DatasetError

TAGS = ("formal", "needs review", "a(b)&!c", "don't")

trees = st.recursive(
    st.sampled_from(TAGS),
    lambda inner: st.tuples(st.just("!"), inner) | st.tuples(st.sampled_from("&|"), inner, inner),
    max_leaves=8,
)


def written(tree: Any) -> str:
    """The tree as a query with every parenthesis."""
    if isinstance(tree, str):
        return f'"{tree}"' if "&" in tree else tree
    if tree[0] == "!":
        return f"!({written(tree[1])})"
    return f"({written(tree[1])}) {tree[0]} ({written(tree[2])})"


def holds(tree: Any, tags: set[str]) -> bool:
    """What the tree means, evaluated directly."""
    if isinstance(tree, str):
        return tree in tags
    if tree[0] == "!":
        return not holds(tree[1], tags)
    left, right = holds(tree[1], tags), holds(tree[2], tags)
    return (left and right) if tree[0] == "&" else (left or right)


@given(trees, st.sets(st.sampled_from(TAGS)))
def test_queries_mean_what_a_reference_evaluator_says(tree: Any, tags: set[str]) -> None:
    assert parse_tags(written(tree)).matches(tags) is holds(tree, tags)


@given(st.lists(st.sampled_from(["a", "b", "!a", "!b", "c"]), min_size=1, max_size=6), st.data())
def test_and_binds_closer_than_or(terms: list[str], data: st.DataObject) -> None:
    operators = [data.draw(st.sampled_from("&|")) for _ in terms[1:]]
    tags = data.draw(st.sets(st.sampled_from("abc")))
    query = terms[0] + "".join(f" {operator} {term}" for operator, term in zip(operators, terms[1:], strict=True))
    python = query.replace("!", "not ").replace("&", " and ").replace("|", " or ")
    names = {letter: letter in tags for letter in "abc"}
    assert parse_tags(query).matches(tags) is bool(eval(python, {}, names))


@pytest.mark.parametrize(
    ("query", "tags", "wanted"),
    [
        ("", [], True),
        ("   ", ["x"], True),
        ("long answer", ["long answer"], True),
        ("  long answer  ", ["long answer"], True),
        ("long answer", ["long", "answer"], False),
        ("'a & b'", ["a & b"], True),
        ("\"a\"&'b'", ["a", "b"], True),
        ("don't", ["don't"], True),
        ("!!a", ["a"], True),
        ("!a", [], True),
        ("a&b|c", ["c"], True),
        ("a&(b|c)", ["c"], False),
        ("(((a)))", ["a"], True),
        ("ünïcode", ["ünïcode"], True),
    ],
)
def test_queries(query: str, tags: list[str], wanted: bool) -> None:
    assert parse_tags(query).matches(tags) is wanted


@pytest.mark.parametrize(
    ("query", "problem", "position"),
    [
        ("a &", "the query ends", 4),
        ("& a", "expected a tag here", 1),
        ("a & | b", "expected a tag here", 5),
        ("(a | b", r"this \( is not closed", 1),
        ("a)", r"this \) closes nothing", 2),
        ("a (b)", "expected & or |", 3),
        ("a !b", "expected & or |", 3),
        ('a & "b', "this quote is not closed", 5),
        ('formal "x"', "expected & or |", 8),
        ("()", "expected a tag here", 2),
        ("!", "the query ends", 2),
    ],
)
def test_wrong_queries_name_the_place(query: str, problem: str, position: int) -> None:
    with pytest.raises(DatasetError, match=problem) as caught:
        parse_tags(query)
    assert f"(position {position})" in str(caught.value)
    shown, caret = str(caught.value).splitlines()[1:3]
    assert shown == f"    {query}"
    assert caret == " " * (4 + position - 1) + "^"


def test_too_deep_a_query_is_refused() -> None:
    with pytest.raises(DatasetError, match="levels"):
        parse_tags("(" * 5000 + "a" + ")" * 5000)
    with pytest.raises(DatasetError, match="levels"):
        parse_tags("!" * 5000 + "a")


@given(st.text(alphabet="ab&|!()\"' ", max_size=12))
def test_any_text_parses_or_is_refused_clearly(text: str) -> None:
    try:
        problem = "^" if parse_tags(text).matches({"a"}) in (True, False) else ""
    except DatasetError as error:
        problem = str(error)
    assert "^" in problem


def test_the_tags_of_a_query_are_known() -> None:
    assert parse_tags("a & !(b c | 'd')").tags == {"a", "b c", "d"}
