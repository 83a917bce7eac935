"""Words of chance on every command line: never a traceback, and whatever is refused leaves nothing."""

import re

import pytest
from fuzzing import FEW
from hypothesis import given
from hypothesis import strategies as st
from scripts import ROOT, load_script, run_script

TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("*.py"))
VALUES = st.sampled_from(
    [
        *(
            "",
            ".",
            "..",
            "none",
            "none.pth",
            "none.csv",
            "none/none.npz",
            "-1",
            "0",
            "1",
            "3",
            "nan",
            "1e999",
        ),
        *("file.pth", "file.npz", "file.csv", "file.yml", "folder", "list", "run", "show", "demo.yml", "ä"),
        *("SOLVER.BASE_LR", "MODEL.NAME", "DATASETS.ROOT_DIR", "[", "{}", "a" * 3000, "/dev/null", "/proc/x"),
    ]
)


@pytest.fixture(scope="module")
def tools():
    with pytest.MonkeyPatch.context() as patch:
        yield {name: load_script(patch, f"tools/{name}.py") for name in TOOLS}


@pytest.fixture
def options(name, tools, monkeypatch, capsys):
    """The options that ``--help`` tells; of the leaderboard those of all its actions."""
    texts = []
    for words in ([], ["list"], ["run"], ["show"]) if name == "leaderboard" else ([],):
        assert run_script(tools[name], monkeypatch, *words, "--help") == 0
        texts.append(capsys.readouterr().out)
    return sorted(set(re.findall(r"--[a-z][a-z-]*", " ".join(texts))) - {"--help"})


@pytest.mark.parametrize("name", TOOLS)
@given(draw=st.data())
@FEW
def test_words_of_chance(name, draw, tools, options, tmp_path_factory, monkeypatch, capsys):
    pairs = st.tuples(st.sampled_from(options), VALUES) | VALUES.map(lambda value: (value,))
    words = [word for group in draw.draw(st.lists(pairs, max_size=5)) for word in group]
    if name == "make_synthetic":  # whole sets take seconds each
        words = ["--train-ids", "1", "--test-ids", "4", *words]
    place = tmp_path_factory.mktemp("here")
    for file in ("file.pth", "file.npz", "file.csv", "file.yml"):
        (place / file).write_bytes(b"content")
    (place / "folder").mkdir()
    before = sorted(place.rglob("*"))
    monkeypatch.chdir(place)
    code = run_script(tools[name], monkeypatch, *words)
    lines = capsys.readouterr().err.splitlines()
    assert code in (0, 1, 2), words
    if code == 2:
        assert sorted(place.rglob("*")) == before, words
        assert sum("error: " in line for line in lines) == 1, words
        assert "error: " in lines[-1], words
        assert max(map(len, lines)) < 2500, words
    assert (place / "file.pth").read_bytes() == b"content"
