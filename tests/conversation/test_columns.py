from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from autograms.conversation.columns import list_column, split_list, struct_column, text_column, text_list_column

texts = st.text(st.characters(codec="utf-8"), max_size=5)


@given(st.lists(st.none() | texts))
def test_text_column(values: list[str | None]) -> None:
    assert text_column(values).to_pylist() == values


def test_lone_surrogates_are_replaced_and_pairs_are_kept() -> None:
    assert text_column(["a\ud800", None, "👍"]).to_pylist() == ["a�", None, "👍"]
    assert text_column(["\ud83d\udc4d"]).to_pylist() == ["👍"]
    assert text_list_column([["a"], [], ["\udfff", "b"]]).to_pylist() == [["a"], [], ["�", "b"]]


@given(st.lists(st.lists(texts, max_size=3)), st.data())
def test_lists_come_back_from_any_slice(rows: list[list[str]], data: st.DataObject) -> None:
    column = list_column(map(len, rows), text_column([text for row in rows for text in row]))
    start = data.draw(st.integers(0, len(rows)))
    part = column.slice(start)
    assert column.to_pylist() == rows
    assert list(split_list(part, part.flatten().to_pylist())) == rows[start:]


def test_null_rows_are_empty() -> None:
    column = pa.array([["a"], None, ["b", "c"]])
    assert list(split_list(column, column.flatten().to_pylist())) == [["a"], [], ["b", "c"]]


def test_struct_column() -> None:
    shape = pa.struct([("a", pa.int32()), ("b", pa.string())])
    assert struct_column(shape, [pa.array([1], pa.int32()), text_column(["x"])]).to_pylist() == [{"a": 1, "b": "x"}]
