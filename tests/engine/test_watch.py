"""What a run is followed by: the bar, the log's lines, metrics.jsonl, TensorBoard, and curves."""

import contextlib
import io
import logging
import re
import sys

import pytest
from events import scalars_in
from full_disk import full_disk
from runs import interrupt, metric_rows
from small import draw_people, small_config
from tensorboard.summary.writer import event_file_writer

import reid.engine.watch
from reid.engine.build import build_run
from reid.engine.pace import TimeLeft
from reid.engine.run_folder import RunFolder
from reid.engine.train import _epoch_line
from reid.engine.watch import Watch, sparing
from reid.evaluation import draw_curves

EPOCH = {"stage": "baseline", "phase": "baseline", "epoch": 1, "loss": 2.5, "id": 2.0, "lr": 0.1}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return draw_people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def watched(people, tmp_path_factory):
    """The folder of a finished run, what it logged, and what it wrote to the terminal."""
    folder = tmp_path_factory.mktemp("run") / "watched"
    run = build_run(small_config(people, folder, "SOLVER.EVAL_PERIOD", "1"))
    lines, terminal, logger = io.StringIO(), io.StringIO(), logging.getLogger("reid")
    handler, level = logging.StreamHandler(lines), logger.level
    logger.addHandler(handler)
    logger.setLevel("INFO")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(terminal):
        patch.setattr(reid.engine.watch, "draw_curves", draw_curves)
        run.run()
    logger.removeHandler(handler)
    logger.setLevel(level)
    return folder, lines.getvalue(), terminal.getvalue()


def test_the_bar_shows_losses_rate_speed_and_the_time_left(watched):
    number, time = r"\d+\.\d{3}", r"\d\d:\d\d"
    head, tail = rf"4/4 \[{time}, {time} left, loss={number}", r"lr=\d\.\d\de-\d\d, images/s=\d+\.\d\]"
    assert re.search(rf"baseline 2/2: 100%.*{head}, id={number}, triplet={number}, {tail}", watched[2])
    assert re.search(rf"label_free 2/2: 100%.*{head}, denoise={number}, {tail}", watched[2])


def test_the_line_of_an_epoch_tells_speed_and_the_time_left_of_the_run(watched):
    lines = [line for line in watched[1].splitlines() if line.startswith("epoch ")]
    assert [line.split()[:3] for line in lines] == [
        ["epoch", "1/2", "baseline"],
        ["epoch", "2/2", "baseline"],
        ["epoch", "3/4", "label_free"],
        ["epoch", "4/4", "label_free"],
    ]
    assert all(re.search(r"\) lr \S+ [\d.]+ images/s, [\d.]+ s left$", line) for line in lines)
    assert "the training goes on" not in watched[1]


def test_the_line_of_an_epoch_tells_the_memory_of_a_gpu():
    figures = EPOCH | {"images_per_s": 412.25, "gpu_memory_mb": 10_240}
    assert _epoch_line(figures, 120, 7500.0) == (
        "epoch 1/120 baseline loss 2.5000 (id 2.0000) lr 1.00e-01 412.2 images/s, GPU memory 10.2 GB,"
        " 2 h 05 min left"
    )
    assert _epoch_line(figures, 1, 0.0).endswith("images/s, GPU memory 10.2 GB")


def test_rows_of_epochs_carry_their_seconds(watched):
    for row in metric_rows(watched[0]):
        assert ("seconds" in row) == ("loss" in row)
        if "loss" in row:
            assert row["seconds"] * row["images_per_s"] == pytest.approx(32, rel=0.02)
            assert "gpu_memory_mb" not in row


def test_the_board_shows_what_metrics_hold(watched):
    found, expected = scalars_in(watched[0] / "tensorboard"), {}
    for row in metric_rows(watched[0]):
        pairs = [(f"train/{name}", row[name]) for name in row if name not in ("stage", "phase", "epoch")]
        if "evaluation" in row:
            names = ("mAP", "mINP", "R1", "R5", "R10")
            pairs = [(f"market1501/{name}", row["evaluation"][name]) for name in names]
        for tag, value in pairs:
            expected.setdefault(tag, []).append((row["epoch"], pytest.approx(value, rel=1e-6)))
    assert found == expected
    assert len(found["train/loss"]) == len(found["market1501/mAP"]) == 4
    assert [step for step, _ in found["train/denoise"]] == [3, 4]


def test_the_run_draws_its_curves(watched):
    assert (watched[0] / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("epochs_before", [1, 2])
def test_a_resumed_run_shows_each_epoch_once(people, tmp_path, monkeypatch, epochs_before):
    """Interrupted behind an evaluation that was not the stage's last, and between the stages."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))
    cfg = small_config(people, tmp_path / "run", "SOLVER.EVAL_PERIOD", "1", "DENOISE.MAX_EPOCHS", "1")
    interrupt(cfg, epochs_before)
    build_run(cfg).run(resume=True)
    found = scalars_in(tmp_path / "run" / "tensorboard")
    for tag in ("train/loss", "train/lr", "market1501/mAP"):
        assert [step for step, _ in found[tag]] == [1, 2, 3]
    losses = [row["loss"] for row in metric_rows(tmp_path / "run") if "loss" in row]
    assert [value for _, value in found["train/loss"]] == pytest.approx(losses)


def make_watch(folder):
    return Watch(RunFolder(folder), TimeLeft(["baseline"], []))


def test_without_tensorboard_the_training_goes_on_with_one_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    watch = make_watch(tmp_path)
    watch.open_board(None)
    for epoch in (1, 2):
        watch.add(EPOCH | {"epoch": epoch})
    watch.close()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "metrics.jsonl has their figures" in record.message
    assert "pip install tensorboard; the training goes on" in record.message
    assert [row["epoch"] for row in metric_rows(tmp_path)] == [1, 2]


def test_a_run_without_tensorboard_writes_no_events(people, tmp_path):
    words = ("SOLVER.TENSORBOARD", "False", "SOLVER.MAX_EPOCHS", "1", "DENOISE.MODE", "none")
    build_run(small_config(people, tmp_path / "run", *words)).run()
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_events_that_cannot_be_written_are_one_warning(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("a file, where the folder should be")
    watch = make_watch(tmp_path)
    watch.open_board(None)
    watch.add(EPOCH)
    watch.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert metric_rows(tmp_path) == [EPOCH]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_fills_up_is_one_warning_and_loses_no_row(tmp_path, caplog):
    """The events' file fills up before metrics.jsonl does."""
    watch = make_watch(tmp_path)
    watch.open_board(None)
    thread = watch.board.writer.file_writer.event_writer._async_writer._worker
    with full_disk():
        for epoch in range(1, 8):
            watch.add(EPOCH | {"epoch": epoch, "seconds": 1.0, "triplet": 0.5})
    watch.close()
    thread.join(10)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no TensorBoard events" in caplog.text
    assert "File too large" in caplog.text
    assert [row["epoch"] for row in metric_rows(tmp_path)] == list(range(1, 8))


def test_a_picture_that_cannot_be_written_is_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(reid.engine.watch, "draw_curves", draw_curves)
    watch = make_watch(tmp_path)
    watch.add(EPOCH)
    (tmp_path / "curves.png").mkdir()
    watch.draw("title", "note")
    (record,) = caplog.records
    assert record.message.startswith(f"no curves in {tmp_path / 'curves.png'}, metrics.jsonl has their")


def test_a_run_that_trained_no_epoch_has_no_curves_and_no_warning(tmp_path, caplog):
    """A control may have nothing to train."""
    watch = make_watch(tmp_path)
    watch.add({"stage": "label_free", "epoch": 2, "dataset": "market1501", "evaluation": {"mAP": 0.5}})
    watch.draw("title", "note")
    assert not (tmp_path / "curves.png").exists()
    assert not caplog.records


@pytest.mark.parametrize("error", [OSError(28, "No space left"), ValueError("a\nb"), MemoryError()])
def test_whatever_fails_while_showing_is_one_line(caplog, error):
    with sparing("no picture"):
        raise error
    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].message
    assert caplog.records[0].message.endswith("; the training goes on")


def test_an_interruption_is_not_spared():
    with pytest.raises(KeyboardInterrupt), sparing("no picture"):
        raise KeyboardInterrupt
