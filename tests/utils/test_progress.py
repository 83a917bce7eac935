"""A bar is drawn where it is asked for, on stderr alone."""

from reid.utils import progress_bar


def test_it_counts_and_is_silent_where_it_is_not_shown(capsys):
    for show in (True, False):
        with progress_bar(4, "pairs", "image", show=show) as bar:
            bar.update(4)
        out, err = capsys.readouterr()
        assert out == ""
        assert ("pairs: 100%" in err and "4/4" in err) if show else err == ""
