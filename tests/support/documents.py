"""The fenced blocks of README.md and docs/, and what their pages say of running them.

A block of ``sh`` or ``python`` is run as it stands. A comment on the line before it says otherwise:

    <!-- run with: WORDS -->      the words are put behind each command, so that it ends sooner
    <!-- needs: FILES -->         run where they are; refused by the name of one of them where they are not
    <!-- not run: missing FILES --> the same, of files that the tests never have
    <!-- not run: FILE -->        another file of the project runs it
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"sh", "python", "text", "csv", "bibtex", "yaml", "json"}
FENCE = re.compile(r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
NOTE = re.compile(r"(?P<word>run with|needs|not run): (?P<rest>.+)")


@dataclass(frozen=True)
class Block:
    """A block and how it is run.

    ``missing`` are files without which it must be refused, ``run_by`` is the file that runs it instead.
    """

    place: str
    language: str
    code: str
    words: str = ""
    missing: tuple[str, ...] = ()
    run_by: str = ""

    @property
    def commands(self):
        return [line.split("  #")[0].strip() for line in self.code.splitlines() if line.strip()]


def blocks(page):
    """Every block of a page that is a program, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        place = f"{page.name}:{text[: match.start('code')].count(chr(10))}"
        assert match["language"] in LANGUAGES, f"{place}: a block's language is one of {sorted(LANGUAGES)}"
        if match["language"] in ("sh", "python"):
            found.append(Block(place, match["language"], match["code"], **_note(place, match["note"])))
    return found


def _note(place, note):
    if note is None:
        return {}
    match = NOTE.fullmatch(note)
    assert match, f"{place}: {note!r} is no note that the tests know"
    word, rest = match["word"], match["rest"]
    if word == "run with":
        return {"words": rest}
    if word == "needs" or rest.startswith("missing "):
        return {"missing": tuple(rest.removeprefix("missing ").split(", "))}
    return {"run_by": rest}
