import os

import pytest

from reid.data.csv_table import CHUNK, read_table
from reid.utils import InputError


def write(folder, text):
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_table(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), "FILE")


def rows_of(table):
    texts = [[column.text(row) for row in range(len(table.paths))] for column in (table.pid, table.camid)]
    return list(zip(table.paths, *texts, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "path,pid,camid\na.jpg,1,2\nb.jpg,,\n",
        "path,pid,camid\r\na.jpg,1,2\r\n\r\nb.jpg,,\r\n",
        "path,pid,camid\ra.jpg,1,2\rb.jpg,,",
        "\ufeffPath , PID,CamID\n a.jpg , 1,2\nb.jpg,,\n",
        'camid,"path",pid,\n2,"a.jpg",1,\n,"b.jpg",,x\n',
    ],
)
def test_spellings_of_one_table(tmp_path, text):
    assert rows_of(read_table(write(tmp_path, text))) == [("a.jpg", "1", "2"), ("b.jpg", "", "")]


def test_quotes_hold_commas_and_line_ends_and_rows_keep_their_lines(tmp_path):
    table = read_table(write(tmp_path, 'path,note\n"a, b.jpg","two\nlines"\n\nc.jpg,x\n'))
    assert table.paths == ["a, b.jpg", "c.jpg"]
    assert [table.line(row) for row in range(2)] == [3, 5]


def test_rows_beyond_the_first_chunk(tmp_path):
    """Chunks join without a gap, and places go on counting."""
    count = 2 * CHUNK + 3
    table = read_table(write(tmp_path, "path,pid\n" + "".join(f"{n}.jpg,p{n // 2}\n" for n in range(count))))
    assert table.paths == [f"{n}.jpg" for n in range(count)]
    assert [table.pid.text(row) for row in (0, CHUNK, count - 1)] == ["p0", f"p{CHUNK // 2}", f"p{CHUNK + 1}"]
    assert table.pid.first_row(f"p{CHUNK}") == 2 * CHUNK
    assert table.at(count - 1) == f"{table.source}:{count + 1}"


def test_views_are_a_column_of_their_own_and_blank_where_it_is_absent(tmp_path):
    table = read_table(write(tmp_path, "ViewID,path\n3,a.jpg\n,b.jpg\n"))
    assert [table.viewid.text(row) for row in range(2)] == ["3", ""]
    table = read_table(write(tmp_path, "path\na.jpg\n"))
    assert table.viewid.text(0) == ""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("path,pid,path", "'path' is there 2 times"),
        ("path,PID,pid", "'pid' is there 2 times"),
        ("path,note,note,note", "'note' is there 3 times"),
        ("path,viewid,ViewID", "'viewid' is there 2 times"),
    ],
)
def test_a_column_that_is_named_twice_is_refused(tmp_path, header, expected):
    assert expected in refusal(write(tmp_path, header + "\n" + "a," * header.count(",") + "a\n"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\npath\na.jpg\n", "FILE must begin with a header that names the column 'path'"),
        (",,\na.jpg,,\n", "FILE must begin with a header that names the column 'path'"),
        ("path\na.jpg\n,\n", "FILE:3 must have 1 cells, got 2"),
        (
            'path,pid\na.jpg,1\n"b.jpg,2\nc.jpg,3\n',
            "FILE must be a CSV file in UTF-8: unexpected end of data (line 4)",
        ),
        (
            b"path\na.jpg\n\xe9.jpg\n",
            "FILE must be a CSV file in UTF-8: invalid continuation byte in line 3; save it as UTF-8",
        ),
        (
            "path\na.jpg\n".encode("utf-16"),
            "FILE must be a CSV file in UTF-8: invalid start byte in line 1; save it as UTF-8",
        ),
    ],
)
def test_a_malformed_file_is_refused_with_the_line(tmp_path, text, expected):
    assert refusal(write(tmp_path, text)).startswith(expected)


def test_a_path_with_a_nul_is_refused(tmp_path):
    """By the csv module before Python 3.11, by ours since."""
    assert "NUL" in refusal(write(tmp_path, "path\na.jpg\n\0b.jpg\n"))


@pytest.mark.parametrize(
    "again", ["a.jpg", "./a.jpg", "sub/../a.jpg", "sub//../a.jpg", "{}/a.jpg", "../{.name}/a.jpg"]
)
@pytest.mark.parametrize("distance", [0, CHUNK])
def test_an_image_that_is_listed_twice_is_refused_however_it_is_spelled(tmp_path, again, distance):
    again = again.format(tmp_path)
    between = "".join(f"{n}.jpg,train\n" for n in range(distance))
    text = f"path,split\nb.jpg,train\na.jpg,train\n{between}{again},query\n"
    assert refusal(write(tmp_path, text)) == (
        f"FILE:{4 + distance} lists the image of line 3 again: {again} (train and query); "
        f"list every image once"
    )


def test_images_elsewhere_are_no_repetition(tmp_path):
    paths = ["a.jpg", "../a.jpg", "/a.jpg", "sub/a.jpg", "..a.jpg"]
    assert read_table(write(tmp_path, "path\n" + "\n".join(paths))).paths == paths


def test_a_blank_path_beyond_the_first_chunk_is_refused_with_its_line(tmp_path):
    lines = "".join(f"{number}.jpg,\n" for number in range(CHUNK + 3))
    assert refusal(write(tmp_path, f"path,pid\n{lines},1\n")).startswith(
        f"FILE:{CHUNK + 5} must name an image"
    )


def test_a_giant_file_is_refused_before_it_fills_the_memory(tmp_path):
    path = write(tmp_path, "path\na.jpg\n")
    os.truncate(path, 2**31 + 1)  # sparse: it takes no disk
    assert refusal(path) == (
        "the CSV list of images must have 2 GiB at most, FILE has 2147483649 bytes; split it"
    )
