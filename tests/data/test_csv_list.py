import pytest

from reid.data import load_csv
from reid.utils import InputError

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


def test_toy_list(tmp_path):
    dataset = load_csv(write(tmp_path, TOY))
    assert (dataset.name, dataset.title, dataset.train_rule) == ("list.csv", "list", "train")
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
    assert (len(dataset.test), dataset.trials) == (0, ())


def test_blank_fields_are_unknown_and_train(tmp_path):
    dataset = load_csv(write(tmp_path, "path,pid,camid,split\nimg/a.jpg,,,\nimg/b.jpg, 4 , 2 ,train\n"))
    assert dataset.train.pids.tolist() == [-1, 4]
    assert dataset.train.camids.tolist() == [-1, 2]


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
