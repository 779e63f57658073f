"""Tables whose columns stand below one another."""

import pytest

from detectorkit.utils.tables import markdown_table, text_table


def test_columns_are_as_wide_as_their_widest_cell():
    rows = [("a", 1, "x"), ("long name", 1000, "")]
    assert text_table(rows, ["", "n", "mark"], align="<><", indent=2) == [
        "                n  mark",
        "  a             1  x",
        "  long name  1000",
    ]


def test_the_last_side_is_that_of_all_further_columns():
    assert text_table([(1, 2, 3)], ["aa", "bb", "cc"], align="<>") == ["aa  bb  cc", "1    2   3"]
    assert text_table([(1, 2, 3)], ["aa", "bb", "cc"]) == ["aa  bb  cc", "1   2   3"]


def test_without_headings_and_rows():
    assert text_table([("a", 1)]) == ["a  1"]
    assert text_table([]) == []
    assert text_table([], ["a", "b"]) == ["a  b"]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        text_table([("a", 1), ("b",)])


def test_markdown():
    assert markdown_table([], ["a", "b"]) == "| a | b |\n| --- | --- |"
