"""What a report says of keys."""

from reid.models.formats import ImportReport


def report():
    return ImportReport(
        ["a", "b.0.c"], dropped=["fc.weight", "blocks.0.dm.0.bias", "blocks.1.dm.0.bias"], missing=["n"]
    )


def test_names_that_differ_in_numbers_are_written_once():
    assert report().describe().splitlines() == [
        "matched: 2: a b.*.c",
        "interpolated: 0",
        "dropped: 3: fc.weight blocks.*.dm.*.bias (2)",
        "missing: 1: n",
        "unexpected: 0",
    ]


def test_a_log_has_it_in_one_line():
    assert report().describe(", ").startswith("matched: 2: a b.*.c, interpolated: 0, dropped: 3: ")
