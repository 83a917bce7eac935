"""What a report says of keys."""

from reid.models.formats import ImportReport


def report():
    return ImportReport(
        ["a", "b.0.c"], dropped=["fc.weight", "blocks.0.dm.0.bias", "blocks.1.dm.0.bias"], missing=["n"]
    )


def test_names_that_differ_in_numbers_are_written_once():
    assert report().describe().splitlines() == [
        "unexpected: 0",
        "missing: 1 (not in the file, left as they start): n",
        "dropped: 3 (known, and of no use here): fc.weight blocks.{0-1}.dm.0.bias",
        "interpolated: 0",
        "matched: 2 (taken over as they are): a b.0.c",
    ]


def test_a_log_has_the_counts_and_names_only_what_was_not_simply_taken_over():
    assert report().summarise() == (
        "matched: 2; dropped: 3 (known, and of no use here): fc.weight blocks.{0-1}.dm.0.bias;"
        " missing: 1 (not in the file, left as they start): n"
    )


def test_a_name_never_breaks_a_line():
    lines = ImportReport(unexpected=["a\nmatched: 9", "\ud800", "ключ"]).describe().splitlines()
    assert len(lines) == 5
    assert lines[0].endswith(r"): a\nmatched: 9 \ud800 ключ")
