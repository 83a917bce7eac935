import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reid.data import load_csv
from reid.utils import InputError, short_name

TOY = """path,pid,camid,split
img/a.jpg,10,0,train
img/b.jpg,20,1,gallery
img/c.jpg,20,0,query
img/d.jpg,10,1,train
img/e.jpg,30,2,gallery
"""


def write(folder, text, images="abcde", encoding="utf-8"):
    (folder / "img").mkdir(exist_ok=True)
    for letter in images:
        (folder / "img" / f"{letter}.jpg").touch()
    path = folder / "list.csv"
    path.write_text(text, encoding=encoding)
    return path


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        load_csv(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message.replace(str(path), "FILE")


def test_lists_of_one_file_name_are_told_apart_and_one_list_is_itself_however_it_is_named(
    tmp_path, monkeypatch
):
    names = set()
    for folder in (tmp_path / "n1", tmp_path / "n3"):
        folder.mkdir()
        names.add(load_csv(write(folder, TOY)).name)
    assert names == {f"{(tmp_path / name).resolve().as_posix()}/list.csv" for name in ("n1", "n3")}
    monkeypatch.chdir(tmp_path / "n1")
    assert load_csv(Path("../n1/list.csv")).name in names


def test_toy_list(tmp_path):
    dataset = load_csv(write(tmp_path, TOY))
    assert (short_name(dataset.name), dataset.title, dataset.train_rule) == ("list.csv", "list", "train")
    assert dataset.train.paths.tolist() == ["img/a.jpg", "img/d.jpg"]
    assert dataset.train.pids.tolist() == [10, 10]
    assert dataset.train.camids.tolist() == [0, 1]
    assert dataset.test.paths.tolist() == ["img/c.jpg", "img/b.jpg", "img/e.jpg"]
    assert dataset.test.pids.tolist() == [20, 20, 30]
    assert dataset.test.camids.tolist() == [0, 1, 2]
    (trial,) = dataset.trials
    assert (trial.query.tolist(), trial.gallery.tolist()) == ([0], [1, 2])
    assert dataset.test.path(0) == tmp_path / "img" / "c.jpg"


def test_columns_come_in_any_order_and_others_are_ignored(tmp_path):
    text = "split, note ,camid,path,pid\ngallery,dark,4,img/a.jpg,3\nquery,,5,img/b.jpg,3\n"
    dataset = load_csv(write(tmp_path, text))
    assert dataset.test.paths.tolist() == ["img/b.jpg", "img/a.jpg"]
    assert dataset.test.pids.tolist() == [3, 3]
    assert dataset.test.camids.tolist() == [5, 4]


def test_only_the_path_must_be_there(tmp_path):
    dataset = load_csv(write(tmp_path, "path\nimg/a.jpg\n\nimg/b.jpg\n"))
    assert dataset.train.paths.tolist() == ["img/a.jpg", "img/b.jpg"]
    assert dataset.train.pids.tolist() == [-1, -1]
    assert dataset.train.camids.tolist() == [-1, -1]
    assert dataset.train.viewids.tolist() == [-1, -1]
    assert (len(dataset.test), dataset.trials) == (0, ())


def test_blank_fields_are_unknown_and_train(tmp_path):
    dataset = load_csv(write(tmp_path, "path,pid,camid,split\nimg/a.jpg,,,\nimg/b.jpg, 4 , 2 ,train\n"))
    assert dataset.train.pids.tolist() == [-1, 4]
    assert dataset.train.camids.tolist() == [-1, 2]


def test_views_stay_with_their_images(tmp_path):
    text = (
        "path,viewid,pid,split\nimg/a.jpg,4,1,gallery\nimg/b.jpg,,2,train\nimg/c.jpg, 0 ,1,query\n"
        "img/d.jpg,-1,1,gallery\nimg/e.jpg,12,2,train\n"
    )
    dataset = load_csv(write(tmp_path, text))
    assert dataset.train.viewids.tolist() == [-1, 12]
    assert dataset.test.paths.tolist() == ["img/c.jpg", "img/a.jpg", "img/d.jpg"]
    assert dataset.test.viewids.tolist() == [0, 4, -1]


@pytest.mark.parametrize("view", ["-2", "front", "1.0", "²", "1" * 19])
def test_another_view_is_refused_with_its_line(tmp_path, view):
    path = write(tmp_path, f"path,viewid\nimg/a.jpg,0\nimg/b.jpg,{view}\n")
    assert refusal(path) == (
        f"FILE:3 must have a whole number of -1 (unknown) or more as viewid, got '{view}'"
    )


def test_text_identities_are_numbered_in_sorted_order_over_all_splits(tmp_path):
    text = (
        "path,pid,split\nimg/a.jpg,zoe,train\nimg/b.jpg,adam,query\nimg/c.jpg,12,gallery\n"
        "img/d.jpg,,gallery\nimg/e.jpg,adam,gallery\n"
    )
    dataset = load_csv(write(tmp_path, text))
    assert dataset.train.pids.tolist() == [2]
    assert dataset.test.pids.tolist() == [1, 0, -1, 1]


def test_text_identities_do_not_depend_on_the_splits_asked_for(tmp_path):
    path = write(tmp_path, "path,pid,split\nimg/a.jpg,adam,train\nimg/b.jpg,zoe,query\n")
    assert load_csv(path, train=False).test.pids.tolist() == [1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_mark_of_a_spreadsheet_is_no_part_of_the_header(tmp_path, encoding):
    assert len(load_csv(write(tmp_path, TOY, encoding=encoding)).train) == 2


def test_quoted_cells(tmp_path):
    (tmp_path / "a, b.jpg").touch()
    (tmp_path / "list.csv").write_text('path, pid\n"a, b.jpg", "4"\n')
    dataset = load_csv(tmp_path / "list.csv")
    assert dataset.train.paths.tolist() == ["a, b.jpg"]
    assert dataset.train.pids.tolist() == [4]


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_there_is_no_trial_with_one_side_only(tmp_path, side):
    dataset = load_csv(write(tmp_path, f"path,pid,split\nimg/a.jpg,1,{side}\n"))
    assert (len(dataset.train), len(dataset.test), dataset.trials) == (0, 1, ())


def test_images_that_are_not_wanted_need_not_exist(tmp_path):
    testing = load_csv(write(tmp_path, TOY, images="bce"), train=False)
    assert (len(testing.train), len(testing.test), len(testing.trials)) == (0, 3, 1)
    (tmp_path / "two").mkdir()
    training = load_csv(write(tmp_path / "two", TOY, images="ad"), test=False)
    assert (len(training.train), len(training.test), training.trials) == (2, 0, ())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("img/a.jpg,1,0,test", "FILE:3 has an unknown split 'test':"),
        ("img/a.jpg,1,0", "FILE:3 must have 4 cells, got 3"),
        ("img/a.jpg,1,0,train,x", "FILE:3 must have 4 cells, got 5"),
        (",1,0,train", "FILE:3 must name an image in the column 'path', it is blank"),
        ("img/a.jpg,-2,0,train", "FILE:3 must have a pid of -1 (unknown) or more, got -2"),
        (
            "img/a.jpg,1,c3,train",
            "FILE:3 must have a whole number of -1 (unknown) or more as camid, got 'c3'",
        ),
        (
            "img/a.jpg,1,-2,train",
            "FILE:3 must have a whole number of -1 (unknown) or more as camid, got '-2'",
        ),
        ("\nimg/a.jpg,1,0,test", "FILE:4 has an unknown split 'test':"),
    ],
)
def test_a_malformed_row_is_refused_with_its_number(tmp_path, rows, expected):
    path = write(tmp_path, f"path,pid,camid,split\nimg/b.jpg,1,0,train\n{rows}\n")
    assert refusal(path).startswith(expected)


def test_a_listed_image_that_is_missing_is_refused_with_its_row(tmp_path):
    message = refusal(write(tmp_path, TOY, images="acde"))
    assert message.startswith(f"FILE:3 names an image that does not exist: {tmp_path / 'img' / 'b.jpg'};")


def test_the_row_of_a_missing_image_is_right_where_not_every_row_is_wanted(tmp_path):
    assert refusal(write(tmp_path, TOY, images="bc"), train=False).startswith("FILE:6 names an image")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "FILE must begin with a header that names the column 'path'"),
        ("img/a.jpg,1,0,train\n", "FILE must begin with a header that names the column 'path'"),
        ("path,pid\n", "FILE must list at least one image below its header, it lists none"),
        ("path\n" + "x" * 140_000, "FILE must be a CSV file in UTF-8: field larger"),
    ],
)
def test_a_file_that_lists_nothing_is_refused(tmp_path, text, expected):
    assert refusal(write(tmp_path, text)).startswith(expected)


def test_another_encoding_is_refused(tmp_path):
    path = write(tmp_path, "path,pid\nimg/é.jpg,1\n", encoding="latin-1")
    assert refusal(path).startswith("FILE must be a CSV file in UTF-8:")


def test_a_missing_file_is_refused(tmp_path):
    assert refusal(tmp_path / "no.csv") == "the CSV list of images must be a file, FILE is not one"
    assert refusal(tmp_path) == "the CSV list of images must be a file, FILE is not one"


def test_an_identity_in_train_and_in_test_is_refused_with_both_rows(tmp_path):
    text = "path,pid,split\nimg/a.jpg,anna,train\n\nimg/b.jpg,,query\nimg/c.jpg,anna,gallery\nimg/d.jpg,,\n"
    assert refusal(write(tmp_path, text)) == (
        "FILE:5 has identity 'anna' in gallery, line 2 has it in train (1 such in all); move all images of "
        "an identity to one side, or give different people different pids"
    )


def test_queries_that_cannot_be_answered_are_counted_in_a_warning(tmp_path, caplog):
    text = "path,pid,camid,split\nimg/a.jpg,1,0,query\nimg/b.jpg,2,0,query\nimg/c.jpg,1,0,gallery\n"
    load_csv(write(tmp_path, text + "img/d.jpg,2,1,gallery\n"))
    assert [record.message.split(" in ")[0] for record in caplog.records] == ["1 of 2 queries"]


@pytest.mark.parametrize(("side", "absent"), [("query", "gallery"), ("gallery", "query")])
def test_one_side_only_is_warned_of(tmp_path, caplog, side, absent):
    load_csv(write(tmp_path, f"path,pid,split\nimg/a.jpg,1,{side}\n"))
    assert f"has {side} images but no {absent} images: nothing can be evaluated" in caplog.text


def test_a_list_is_split_as_a_plain_loop_splits_it(tmp_path):
    rng = np.random.default_rng(0)
    splits = rng.choice(["train", "", "query", "gallery"], 300)
    rows = []
    for number, split in enumerate(splits):
        pid = rng.integers(9) + (100 if split in ("query", "gallery") else 0)
        rows.append((f"img/{number}.jpg", int(pid), int(rng.integers(-1, 4)), str(split)))
        (tmp_path / "img").mkdir(exist_ok=True)
        (tmp_path / rows[-1][0]).touch()
    lines = "".join(f"{','.join(map(str, row))}\n" for row in rows)
    (tmp_path / "list.csv").write_text("path,pid,camid,split\n" + lines)
    dataset = load_csv(tmp_path / "list.csv")
    expected = {
        side: [row[:3] for row in rows if (row[3] or "train") == side]
        for side in ("train", "query", "gallery")
    }
    for records, wanted in [
        (dataset.train, expected["train"]),
        (dataset.test.select(dataset.trials[0].query), expected["query"]),
        (dataset.test.select(dataset.trials[0].gallery), expected["gallery"]),
    ]:
        columns = (records.paths.tolist(), records.pids.tolist(), records.camids.tolist())
        assert list(zip(*columns, strict=True)) == wanted


# Run in a process of its own: a process's peak of memory never falls. The disk is left out.
MEASURE = """
import resource, sys, time
from pathlib import Path
from reid.data import folders, load_csv
class EveryName:
    def __contains__(self, name):
        return True
folders._listing = lambda folder: EveryName()
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.process_time()
dataset = load_csv(Path(sys.argv[1]))
print(len(dataset.train), len(dataset.test), time.process_time() - start, peak() - before)
"""


@pytest.mark.slow
def test_a_million_rows_take_seconds_and_less_than_a_gigabyte(tmp_path):
    rows = ["path,pid,camid,split,viewid\n"]
    for number in range(1_000_000):
        person = number // 20
        name = f"images/{person // 500:03d}/{person:06d}_c{number % 7}s1_{number:09d}_the_usual_length.jpg"
        split = "train" if person < 25_000 else ("query" if number % 20 == 0 else "gallery")
        rows.append(f"{name},{person},{number % 7},{split},{number % 8}\n")
    (tmp_path / "list.csv").write_text("".join(rows))
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "list.csv")]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    num_train, num_test, seconds, megabytes = map(float, result.stdout.split())
    assert (num_train, num_test) == (500_000, 500_000)
    assert seconds < 10
    assert megabytes < 1000
