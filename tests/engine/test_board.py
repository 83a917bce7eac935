"""TensorBoard events, read back as TensorBoard reads them."""

import pytest
from events import scalars_in
from full_disk import full_disk
from tensorboard.summary.writer import event_file_writer

from reid.engine.board import Board, scalars_of


@pytest.fixture(autouse=True)
def _files_in_order(monkeypatch):
    """Files of one second are read in the order of their numbers as text, where 10 comes before 9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def epoch_row(epoch, loss):
    return {"stage": "baseline", "phase": "baseline", "epoch": epoch, "loss": loss, "id": loss / 2, "lr": 0.5}


def evaluation_row(epoch, value):
    figures = {"mAP": value, "R1": 2 * value, "num_query": 7, "std": {"mAP": 0.1}}
    return {"stage": "baseline", "epoch": epoch, "dataset": "veri", "evaluation": figures}


def write(folder, *rows, redone=None):
    board = Board(folder, redone)
    for row in rows:
        board.add(row)
    return board


def test_numbers_of_epochs_and_fractions_of_evaluations_become_scalars(tmp_path):
    write(tmp_path / "new" / "folder", epoch_row(1, 2.0), epoch_row(2, 1.0), evaluation_row(2, 0.25)).close()
    assert scalars_in(tmp_path / "new" / "folder") == {
        "train/loss": [(1, 2.0), (2, 1.0)],
        "train/id": [(1, 1.0), (2, 0.5)],
        "train/lr": [(1, 0.5), (2, 0.5)],
        "veri/mAP": [(2, 0.25)],
        "veri/R1": [(2, 0.5)],
    }


def test_rows_can_be_read_before_the_run_has_ended(tmp_path):
    board = write(tmp_path, epoch_row(1, 2.0))
    assert scalars_in(tmp_path)["train/loss"] == [(1, 2.0)]
    board.close()


def test_what_an_interrupted_run_repeats_is_shown_once(tmp_path):
    rows = (epoch_row(1, 8.0), epoch_row(2, 4.0), evaluation_row(2, 0.25), epoch_row(3, 3.0))
    write(tmp_path, *rows)  # and killed
    write(tmp_path, epoch_row(2, 4.0), evaluation_row(2, 0.5), epoch_row(3, 2.0), redone=2).close()
    found = scalars_in(tmp_path)
    assert found["train/loss"] == [(1, 8.0), (2, 4.0), (3, 2.0)]
    assert found["veri/mAP"] == [(2, 0.5)]


def test_a_folder_that_cannot_be_made_is_an_error_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Board(tmp_path / "file")


def await_thread(board):
    """What the writer's thread died of is told while this test runs."""
    board.writer.file_writer.event_writer._async_writer._worker.join(10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_an_error_and_not_a_silence(tmp_path):
    """Of the row itself or, as the writer has a thread of its own, of one of the next."""
    board = Board(tmp_path)

    def add_three():
        for epoch in range(1, 4):
            board.add(epoch_row(epoch, 1.0))

    with pytest.raises(OSError, match="File too large"), full_disk(kilobytes=0):
        add_three()
    await_thread(board)


def test_text_and_truth_of_no_number_are_left_out():
    assert scalars_of({"epoch": 1, "stage": "baseline", "loss": 1}) == {"train/loss": 1}
