"""Every line once, to stderr and to the file."""

import logging
import re

import pytest

from reid.utils import say_once, setup_logging


@pytest.fixture(autouse=True)
def _logger_as_before():
    logger = logging.getLogger("reid")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    logger.handlers = []
    yield
    for handler in logger.handlers:
        handler.close()
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def test_setting_up_twice_writes_a_line_once(tmp_path, capsys):
    setup_logging(tmp_path)
    setup_logging(tmp_path)
    logging.getLogger("reid.some.module").info("hello")
    assert capsys.readouterr().err.count("hello") == 1
    assert (tmp_path / "log.txt").read_text().count("hello") == 1


def test_a_line_has_time_level_name_and_message(tmp_path, capsys):
    setup_logging(tmp_path / "new", "x.txt")
    logging.getLogger("reid.models").warning("a %s", "b")
    line = (tmp_path / "new" / "x.txt").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d WARNING reid\.models: a b\n", line)
    captured = capsys.readouterr()
    assert captured.err == line
    assert captured.out == ""


def test_info_is_shown_and_debug_is_not(capsys):
    setup_logging()
    logging.getLogger("reid").debug("quiet")
    logging.getLogger("reid").info("loud")
    err = capsys.readouterr().err
    assert "loud" in err
    assert "quiet" not in err


def test_a_second_folder_takes_over_from_the_first(tmp_path, capsys):
    setup_logging(tmp_path / "a")
    setup_logging(tmp_path / "b")
    logging.getLogger("reid").info("hello")
    assert not (tmp_path / "a" / "log.txt").exists()
    assert "hello" in (tmp_path / "b" / "log.txt").read_text()


def test_a_later_run_appends_to_the_file(tmp_path, capsys):
    for word in ("first", "second"):
        setup_logging(tmp_path)
        logging.getLogger("reid").info(word)
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 2


def test_a_handler_of_the_root_logger_does_not_get_the_line_again(caplog, capsys):
    setup_logging()
    logging.getLogger("reid").info("hello")
    assert "hello" not in caplog.text
    assert capsys.readouterr().err.count("hello") == 1


def test_other_loggers_are_left_alone(tmp_path, capsys):
    root = list(logging.getLogger().handlers)
    setup_logging(tmp_path)
    logging.getLogger("other").warning("elsewhere")
    assert not (tmp_path / "log.txt").exists()
    assert logging.getLogger().handlers == root


def test_in_the_block_a_line_is_written_once_to_each_place(tmp_path, capsys):
    setup_logging(tmp_path)
    first, other = logging.getLogger("reid.first"), logging.getLogger("reid.other")
    with say_once():
        for _ in range(3):
            first.info("layer %d", 1)
            first.info("layer %d", 2)
            other.info("layer 1")
    lines = ["reid.first: layer 1", "reid.first: layer 2", "reid.other: layer 1"]
    for text in (capsys.readouterr().err, (tmp_path / "log.txt").read_text()):
        assert [text.count(line) for line in lines] == [1, 1, 1]
    first.info("layer 1")
    first.info("layer 1")
    assert capsys.readouterr().err.count("layer 1") == 2
