"""The page in a real browser: filters, links, keyboard, sizes, colours; skipped without chromium."""

import io
import shutil

import numpy as np
import pytest
from browser import open_browser
from PIL import Image
from reports import MODELS, hand_made_report, of_one_model

from reid.evaluation import Table
from reid.evaluation.report import render

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
SHOWN = (
    "[...document.querySelectorAll('article')].filter(a => a.checkVisibility())"
    ".map(a => a.querySelector('.path').textContent)"
)
LISTS = (
    "[...document.querySelector('article:not([hidden])').querySelectorAll('.list')]"
    ".filter(a => a.checkVisibility()).map(a => a.querySelector('h4').firstChild.textContent.trim())"
)
COUNTS = "[...document.querySelectorAll('button')].map(b => b.textContent)"
PRESSED = "[...document.querySelectorAll('[aria-pressed=true]')].map(b => b.dataset.filter)"
STATUS = "document.getElementById('status').textContent"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """The pages that are looked at, by name."""
    folder = tmp_path_factory.mktemp("reports")
    report = hand_made_report(folder)
    wide = Table("wide", [f"column {n}" for n in range(20)], [["12.3%"] * 20])
    kinds = {
        "three": hand_made_report(folder, tables=[*report.tables, wide], protocol="word " * 60),
        "one": of_one_model(report),
        "none became right": hand_made_report(folder, queries=[report.queries[0]]),
    }
    pages = {}
    for name, each in kinds.items():
        pages[name] = folder / f"{name}.html"
        pages[name].write_text(render(each), encoding="utf-8")
    return {name: path.as_uri() for name, path in pages.items()}


@pytest.fixture
def page(browser, addresses):
    browser.look(1200)

    def open_page(name="three", fragment=""):
        browser.open(addresses[name] + fragment)
        return browser

    yield open_page
    assert browser.errors == []
    # The page itself, and nothing beside it.
    assert {request.split("#")[0] for request in browser.requests} <= set(addresses.values())


def test_the_driver_sees_errors(browser, tmp_path):
    path = tmp_path / "wrong.html"
    path.write_text("<script>console.error('one'); nothing.at.all</script>", encoding="utf-8")
    browser.open(path.as_uri())
    assert len(browser.errors) == 2
    browser.errors.clear()


def test_all_queries_and_the_outer_models_are_shown_first(page):
    page = page()
    assert page.evaluate(SHOWN) == [
        "stays right",
        "becomes right",
        "becomes wrong",
        "stays wrong",
        "becomes right too",
    ]
    assert page.evaluate(LISTS) == [MODELS[0], MODELS[2]]
    assert page.evaluate(COUNTS) == ["All (5)", "Became right (2)", "Became wrong (1)", "Hardest (5)"]
    assert page.evaluate(PRESSED) == ["all"]
    assert page.evaluate(STATUS) == "5 queries shown."


@pytest.mark.parametrize(
    ("fragment", "shown"),
    [
        ("#filter=became-right", ["becomes right", "becomes right too"]),
        ("#filter=became-wrong", ["becomes wrong"]),
        ("#filter=became-right&before=0&after=1", ["becomes right too"]),
        ("#filter=became-wrong&before=2&after=0", ["becomes right", "becomes right too"]),
        ("#filter=became-wrong&after=1", []),
    ],
)
def test_a_link_names_filter_and_models(page, fragment, shown):
    page = page(fragment=fragment)
    assert page.evaluate(SHOWN) == shown


def test_the_hardest_come_first(page):
    hardest = page(fragment="#filter=hardest").evaluate(SHOWN)
    assert hardest == ["stays wrong", "becomes wrong", "becomes right too", "becomes right", "stays right"]
    page = page(fragment="#filter=hardest&after=0")
    assert page.evaluate(SHOWN)[:2] == ["stays wrong", "becomes right"]
    assert page.evaluate(STATUS) == "5 queries shown, lowest average precision first."
    # Afterwards the others are again in the order of the data set.
    page.evaluate("document.querySelector('[data-filter=all]').click()")
    page.wait(f"{PRESSED}[0] === 'all'")
    assert page.evaluate(SHOWN)[0] == "stays right"


@pytest.mark.parametrize(
    "fragment", ["#filter=nonsense&before=9&after=-1", "#before=x", "#%", "#filter=__proto__"]
)
def test_a_link_that_names_nothing_shows_all(page, fragment):
    page = page(fragment=fragment)
    assert len(page.evaluate(SHOWN)) == 5
    assert page.evaluate(LISTS) == [MODELS[0], MODELS[2]]


def test_the_empty_state_says_so(page):
    page = page("none became right", "#filter=became-right")
    assert page.evaluate(SHOWN) == []
    assert page.evaluate(STATUS) == "No query became right."
    assert page.evaluate("document.getElementById('status').checkVisibility()")


def test_models_are_chosen_and_stand_in_that_order(page):
    page = page()
    page.evaluate(
        "for (const [id, value] of [['before', 2], ['after', 1]]) {"
        " const chooser = document.getElementById(id);"
        " chooser.value = value; chooser.dispatchEvent(new Event('change')); }"
    )
    page.wait("location.hash.includes('after=1')")
    page.wait(f"{LISTS}[0] === '{MODELS[2]}'")
    assert page.evaluate(LISTS) == [MODELS[2], MODELS[1]]
    assert page.evaluate(COUNTS)[1:3] == ["Became right (1)", "Became wrong (1)"]
    assert page.evaluate("[...document.querySelectorAll('select')].map(s => s.value)") == ["2", "1"]


def test_a_model_beside_itself_is_shown_once(page):
    page = page(fragment="#before=1&after=1")
    assert page.evaluate(LISTS) == [MODELS[1]]
    assert page.evaluate(COUNTS)[1:3] == ["Became right (0)", "Became wrong (0)"]


def test_the_keyboard_reaches_every_filter(page):
    page = page()
    page.evaluate("document.querySelector('[data-filter=all]').focus()")
    page.press("Tab")
    page.press("Enter", "\r")
    page.wait(f"{PRESSED}[0] === 'became-right'")
    assert page.evaluate(SHOWN) == ["becomes right", "becomes right too"]
    page.press("Tab")
    page.press(" ", " ")
    page.wait(f"{PRESSED}[0] === 'became-wrong'")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    # Each view is a step back in the history.
    page.evaluate("history.back()")
    page.wait(f"{PRESSED}[0] === 'became-right'")


def test_one_model_has_its_list_and_two_filters(page):
    page = page("one")
    assert page.evaluate(COUNTS) == ["All (5)", "Hardest (5)"]
    assert page.evaluate(LISTS) == [MODELS[2]]


def test_every_image_is_drawn(page):
    page = page()
    backgrounds = page.evaluate(
        "[...document.querySelectorAll('.thumb')].map(t => getComputedStyle(t).backgroundImage.slice(0, 20))"
    )
    assert set(backgrounds) == {'url("data:image/jpeg'}
    assert page.evaluate("[...document.querySelectorAll('.thumb')].filter(t => t.clientHeight).length") == 25


@pytest.mark.parametrize("width", [1200, 700, 360])
def test_nothing_is_wider_than_the_window(page, width):
    page = page()
    page.look(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # A wide table scrolls by itself.
    assert page.evaluate("document.querySelectorAll('.scroll')[1].scrollWidth") > 700


def test_no_words_of_a_plot_stand_on_each_other_or_outside(page):
    code = """[...document.querySelectorAll('main svg[role]')].flatMap(svg => {
        const frame = svg.getBoundingClientRect();
        const boxes = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect());
        const out = boxes.filter(b => b.left < frame.left - 1 || b.right > frame.right + 1
            || b.top < frame.top - 1 || b.bottom > frame.bottom + 1);
        const apart = (a, b) => a.right <= b.left || b.right <= a.left
            || a.bottom <= b.top || b.bottom <= a.top;
        const on = boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => !apart(a, b)));
        return [...out, ...on].map(b => JSON.stringify(b));
    })"""
    page = page()
    for width in (1200, 700, 360):
        page.look(width)
        assert page.evaluate(code) == [], width


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"), int)


def test_a_light_and_a_dark_scheme(page):
    page = page()
    light = pixels(page.screenshot())
    page.look(1200, scheme="dark")
    dark = pixels(page.screenshot())
    assert light.shape == dark.shape == (900, 1200, 3)
    assert light.std() > 10
    assert dark.std() > 10
    assert light.mean() > 200 > 60 > dark.mean()


def test_paper_is_light_and_without_controls(page):
    page = page()
    page.look(800, scheme="dark", media="print")
    assert pixels(page.screenshot()).mean() > 200
    assert not page.evaluate("document.getElementById('controls').checkVisibility()")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_words_stand_out_from_their_ground_in_both_schemes(page):
    """At least 4.5 to 1, by WCAG 2's contrast ratio."""
    code = """(() => {
        const number = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const light = c => { const [r, g, b] = number(c).map(v => { v /= 255;
            return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
        const low = [];
        for (const e of document.querySelectorAll('body *')) {
            const says = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
            if (!says || !e.checkVisibility()) continue;
            const style = getComputedStyle(e);
            const word = e.closest('svg') ? style.fill : style.color;
            const [a, b] = [light(word), light(ground(e))].sort((x, y) => y - x);
            if ((a + 0.05) / (b + 0.05) < 4.5) low.push([e.className, word, ground(e)].join(' '));
        }
        return [...new Set(low)];
    })()"""
    page = page()
    for scheme in ("light", "dark"):
        page.look(1200, scheme=scheme)
        assert page.evaluate(code) == [], scheme
