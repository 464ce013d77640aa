import pytest

from autograms_assets.describe import quoted


@pytest.mark.parametrize(
    "text", ["![x](https://a.example/p.png?q=1)", "<img src=x>", "# big", "a | b", "`code`", "*b*"]
)
def test_markup_is_shown_and_not_followed(text):
    shown = quoted(text)
    assert shown.replace("\\", "") == text
    assert "![" not in shown
    assert not shown.startswith(("<", "#"))


def test_plain_words_stay_as_they_are():
    assert quoted("Dear customer, we noted: it is 5 - 3.") == "Dear customer, we noted: it is 5 - 3."
