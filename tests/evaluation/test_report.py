"""The page: parsed, and every piece of it compared with what it was made of."""

import base64
import hashlib
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from pages import parse_page
from PIL import Image
from reports import MODELS, OUTCOMES, draw_images, hand_made_report, of_one_model

from reid.evaluation import Table
from reid.evaluation.pictures import COLOURS
from reid.evaluation.report import Distances, Match, Model, Query, Ranking, render
from reid.utils import InputError

NASTY = "<script>alert('1')</script>\"&amp;${x}</style>"


@pytest.fixture
def report(tmp_path):
    return hand_made_report(tmp_path)


def page_of(report):
    return parse_page(render(report))


def test_the_head_names_what_it_is_about(report):
    page = page_of(report)
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("head").one("title").text == "Drawn people: vit_micro"
    assert page.one("h1").text == "Drawn people vit_micro"
    assert page.one("p", class_="protocol").text == "Protocol: drawn people, cosine metric"
    assert page.one("meta", name="viewport").attributes["content"].startswith("width=device-width")
    assert [heading.text for heading in page.all("h2")] == [
        "Figures",
        "CMC",
        "Distances of true and false matches",
        "Ranked lists",
    ]


def test_what_names_an_element_is_there_once(report):
    page = page_of(report)
    names = [node.attributes["id"] for node in page.all() if "id" in node.attributes]
    assert len(names) == len(set(names))
    labels = {node.attributes.get("aria-labelledby") for node in page.all()} - {None}
    assert labels == {"figures", "curves", "distances", "lists"} < set(names)


def test_tables_are_tables(report):
    wide = Table("a title", ["model", "x|y"], [["one", 1.5]])
    first, second = page_of(replace(report, tables=[*report.tables, wide])).all("table")
    assert [cell.text for cell in first.all("th", scope="col")] == ["model", "mAP"]
    assert [cell.text for cell in first.all("th", scope="row")] == ["baseline", "fused"]
    assert [cell.text for cell in first.all("td")] == ["40.0%", "50.0%"]
    assert first.one("caption").text == "Models"
    assert second.one("caption").text == "a title"
    assert [cell.text for cell in second.all("th", scope="col")] == ["model", "x|y"]
    assert second.one("td").text == "1.5"


def test_without_a_table_the_rest_is_shown(report):
    page = page_of(replace(report, tables=[]))
    assert not list(page.all("table"))
    assert len(list(page.all("article"))) == 5


def test_a_table_that_is_none_is_refused(report):
    with pytest.raises(ValueError, match=r"each row must have 2 cells like the header, got 1"):
        render(replace(report, tables=[Table("", ["model", "mAP"], [["alone"]])]))


def test_notes_stand_below_the_comparison(report):
    detail = Table("a detail", ["model"], [["one"]])
    page = page_of(replace(report, tables=[*report.tables, detail], notes=["one", "two"]))
    figures = page.one("section", **{"aria-labelledby": "figures"})
    parts = [node for node in figures.all() if node.tag in ("table", "li")]
    assert [node.tag for node in parts] == ["table", "li", "li", "table"]
    assert [node.text for node in parts if node.tag == "li"] == ["one", "two"]


def test_text_is_escaped_everywhere(report, tmp_path):
    image = next(iter(report.images.values()))
    ranking = Ranking(0.5, [Match(NASTY, 1, 0.1, True)])
    distances = report.models[0].distances
    page = page_of(
        replace(
            report,
            dataset=NASTY,
            backbone=NASTY,
            protocol=NASTY,
            tables=[Table(NASTY, [NASTY, "b"], [[NASTY, NASTY]])],
            notes=[NASTY],
            models=[Model(f"{NASTY}{number}", 0.5, np.ones(50), distances) for number in range(2)],
            queries=[Query(1, NASTY, NASTY, 1, [ranking, ranking])],
            images={NASTY: image},
            num_ranked=10,
        )
    )
    assert len(list(page.all("script"))) == 1
    assert len(list(page.all("style"))) == 2
    assert "alert" not in page.one("script").text
    for where in ("title", "h1", "caption", "td"):
        assert NASTY in next(page.all(where)).text
    assert f"{NASTY}1" in [option.text for option in page.all("option")]
    assert page.one("span", class_="path").text == NASTY
    assert [node.attributes["title"] for node in page.all("div", class_="thumb")] == [NASTY] * 3
    assert f"identity {NASTY}, camera 1" in page.one("article").one("h3").text


def test_nothing_comes_from_outside(report):
    text = render(report)
    page = parse_page(text)
    assert not re.search(r"https?:|//[a-z]|@import|@font-face", re.sub(r"base64,[^)]*", "", text))
    assert {node.attributes.get("href", "data:,") for node in page.all()} == {"data:,"}
    assert not [node for node in page.all() if "src" in node.attributes]
    assert not [name for node in page.all() for name in node.attributes if name.startswith("on")]
    assert all(url.startswith("data:image/jpeg;base64,") for url in re.findall(r"url\((.*?)\)", text))


def test_the_policy_allows_the_pages_script_alone(report):
    page = page_of(report)
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    digest = base64.b64encode(hashlib.sha256(page.one("script").text.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def test_the_same_report_gives_the_same_bytes(report):
    assert render(report).encode() == render(report).encode()


def test_queries_carry_what_the_filters_need(report):
    articles = list(page_of(report).all("article"))
    assert len(articles) == 5
    for article, (number, (name, (right, precisions))) in zip(
        articles, enumerate(OUTCOMES.items(), 1), strict=True
    ):
        assert article.attributes["data-right"] == right
        assert tuple(map(float, article.attributes["data-ap"].split())) == precisions
        assert article.one("h3").text == f"Query {number}: identity {10 + number}, camera 1 {name}"


def test_lists_stand_beside_each_other_by_model(report):
    article = list(page_of(report).all("article"))[1]
    lists = list(article.all("section", class_="list"))
    assert [part.attributes["data-model"] for part in lists] == ["0", "1", "2"]
    assert [part.one("h4").text for part in lists] == [
        f"{MODELS[0]} ✕ Rank-1 wrong AP 20.0%",
        f"{MODELS[1]} ✕ Rank-1 wrong AP 20.0%",
        f"{MODELS[2]} ✓ Rank-1 right AP 70.0%",
    ]
    for part, expected in zip(lists, ("wrong right", "wrong right", "right wrong"), strict=True):
        assert " ".join(entry.attributes["class"] for entry in part.all("li")) == expected


def test_an_entry_has_rank_mark_camera_and_distance(report):
    article = next(page_of(report).all("article"))
    good, bad = next(article.all("section", class_="list")).all("li")
    assert good.one("p").text == "✓ 1 cam 2 0.250"
    # No number where the camera is unknown.
    assert bad.one("p").text.split() == ["✕", "2", "0.500"]
    pictures = [good.one("div"), bad.one("div")]
    assert [picture.attributes["role"] for picture in pictures] == ["img", "img"]
    assert [picture.attributes["aria-label"] for picture in pictures] == ["right", "wrong"]
    assert [picture.attributes["title"] for picture in pictures] == ["good", "bad"]
    query = article.one("div", class_="asked")
    assert (query.attributes["aria-label"], query.attributes["title"]) == ("query image", "stays right")


def test_a_query_of_unknown_camera_has_no_number(report):
    query = replace(report.queries[0], camera=-1)
    (article,) = page_of(replace(report, queries=[query])).all("article")
    assert article.one("h3").text == "Query 1: identity 11 stays right"


def rules(text):
    found = re.findall(r"\.t(\d+)\{background-image:url\(data:image/jpeg;base64,([^)]*)\)\}", text)
    return {f"t{number}": Image.open(io.BytesIO(base64.b64decode(data))) for number, data in found}


def test_each_image_is_embedded_once_and_small(report):
    text = render(replace(report, images=report.images | {"never shown": report.images["good"]}))
    pictures = rules(text)
    assert text.count("data:image/jpeg") == len(pictures) == 7
    assert {picture.size for picture in pictures.values()} == {(56, 112)}
    names = {}
    for node in parse_page(text).all("div", class_="thumb"):
        (number,) = (word for word in node.attributes["class"].split() if word in pictures)
        assert names.setdefault(node.attributes["title"], number) == number
    assert set(names) == set(report.images)
    for name, number in names.items():
        with Image.open(report.images[name]) as original:
            assert abs(pictures[number].getpixel((9, 9))[0] - original.getpixel((9, 9))[0]) <= 2


def test_cells_have_the_shape_of_most_images(tmp_path):
    report = hand_made_report(tmp_path)
    wide = draw_images(tmp_path, ["stays right"], size=(300, 100))
    assert "--shape:0.500}" in render(replace(report, images=report.images | wide))


def test_an_unreadable_image_is_refused_by_name(report, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    images = report.images | {"good": tmp_path / "broken.png"}
    with pytest.raises(InputError, match=r"cannot read image .*broken\.png"):
        render(replace(report, images=images))


def test_controls_of_several_models(report):
    controls = page_of(report).one(id="controls")
    assert "hidden" in controls.attributes  # until the script runs
    buttons = list(controls.all("button", type="button"))
    assert [button.attributes["data-filter"] for button in buttons] == [
        "all",
        "became-right",
        "became-wrong",
        "hardest",
    ]
    for chooser in controls.all("select"):
        assert [option.text for option in chooser.all("option")] == list(MODELS)


def test_one_model_has_nothing_beside_it(report):
    page = page_of(of_one_model(report))
    assert [button.attributes["data-filter"] for button in page.all("button")] == ["all", "hardest"]
    assert not list(page.all("select"))
    assert "became" not in page.one("section", **{"aria-labelledby": "lists"}).text
    assert len(list(next(page.all("article")).all("section"))) == 1


def words(report):
    return page_of(report).one("section", **{"aria-labelledby": "lists"}).all("ul").__next__().text


def test_what_became_of_the_queries_is_told(report):
    assert words(report).endswith(
        "From baseline to + DenoiseRep fused, 2 became right at Rank-1 and 1 became wrong."
        "All 5 are on this page."
    )
    assert "first 2 of the ranked gallery" in words(report)
    assert "cosine distance" in words(report)
    for word in ("trial", "re-ranking", "without a true match"):
        assert word not in words(report)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_trials": 10}, "The queries are those of the first of 10 trials."),
        (
            {"is_reranked": True},
            "The lists are those before re-ranking, and so is what became right or wrong",
        ),
        ({"num_without_match": 1}, "Left out: 1 query without a true match."),
        ({"num_without_match": 1200}, "Left out: 1,200 queries without a true match."),
        ({"num_evaluated": 50_000}, "Lists were made for 5 evenly spread of 50,000 queries."),
        ({"metric": "euclidean"}, "its Euclidean distance to the query"),
        (
            {"num_ranked": 5000, "num_evaluated": 5000},
            "5 of 5,000 queries are on this page: all of these, the 5 of lowest average precision under"
            " + DenoiseRep fused, and an even spread of the others; 4,995 are left out."
            " The counts below are of this page.",
        ),
        (
            {"num_ranked": 5000, "num_evaluated": 5000, "num_became_right": 1000},
            "5 of 5,000 queries are on this page: 3 of these 1,001, the 5 of lowest",
        ),
    ],
)
def test_what_is_left_out_is_told(report, changes, expected):
    assert expected in words(replace(report, **changes))


def test_a_report_must_hold_together(report):
    with pytest.raises(ValueError, match="at least one model"):
        replace(report, models=[])
    with pytest.raises(ValueError, match=r"query 1 must have 2 rankings, one a model, got 3"):
        replace(report, models=report.models[:2])


def test_without_a_query_the_rest_is_shown(report):
    page = page_of(replace(report, queries=[], num_ranked=0))
    assert not list(page.all("article"))
    assert len(list(page.all("table"))) == 1


def curves(report):
    return page_of(report).one("section", **{"aria-labelledby": "curves"}).one("svg", role="img")


def coordinates(path):
    return [tuple(map(float, pair.split())) for pair in path.attributes["d"][1:].split("L")]


def test_curves_run_from_rank_1_to_50(report):
    long = replace(report.models[0], cmc=np.concatenate([np.linspace(0.5, 1, 50), np.ones(50)]))
    picture = curves(replace(report, models=[long, *report.models[1:]]))
    lines = list(picture.all("path", class_="line"))
    assert [line.attributes["class"] for line in lines] == ["line line0", "line line1", "line line2"]
    points = coordinates(lines[0])
    assert len(points) == 50
    assert points == coordinates(lines[1]) == coordinates(lines[2])
    # From 50 % at the bottom to 100 % at the top, ever upwards.
    assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    grid = {node.text: float(node.attributes["y"]) for node in picture.all("text") if "%" in node.text}
    assert points[0][1] == grid["50%"]
    assert points[-1][1] == grid["100%"]


def test_coinciding_curves_are_told_apart_by_width_and_dashes(report):
    lines = list(curves(report).all("path", class_="line"))
    widths = [float(line.attributes["stroke-width"]) for line in lines]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3
    assert "stroke-dasharray" not in lines[0].attributes
    # In widths of the line, as matplotlib draws them.
    assert lines[1].attributes["stroke-dasharray"] == "12.0 6.0"
    assert len({line.attributes.get("stroke-dasharray") for line in lines}) == 3
    style = next(page_of(report).all("style")).text
    assert all(f"--line{number}:{colour};" in style for number, colour in enumerate(COLOURS))


def test_a_pointer_is_told_the_values_of_all_curves(report):
    strips = list(curves(report).all("rect", class_="hover"))
    assert len(strips) == 50
    assert strips[0].one("title").text.splitlines() == ["rank 1", *(f"{name} 50.0%" for name in MODELS)]
    assert strips[49].one("title").text.splitlines() == ["rank 50", *(f"{name} 100.0%" for name in MODELS)]


def test_the_legend_has_the_figures(report):
    entries = [item.text for item in page_of(report).one("div", class_="curves").all("li")]
    assert entries == [f"{name}: mAP 50.0%, Rank-1 50.0%" for name in MODELS]


@pytest.mark.parametrize("cmc", [np.ones(50), np.zeros(50), np.ones(10), np.ones(1), np.full(50, 0.97)])
def test_curves_of_any_height_and_length(report, cmc):
    picture = curves(replace(report, models=[replace(model, cmc=cmc) for model in report.models]))
    height = float(picture.attributes["viewbox"].split()[3])
    points = coordinates(next(picture.all("path", class_="line")))
    assert len(points) == len(cmc)
    assert all(0 < y < height for _, y in points)


def histograms(report):
    return list(page_of(report).all("figure", class_="histogram"))


def test_histograms_tell_how_far_true_and_false_overlap(report):
    figures = histograms(report)
    assert [figure.one("b").text for figure in figures] == list(MODELS)
    # Half of the true pairs lie in the bin of half of the false ones.
    assert figures[0].one("figcaption").text == (
        "baseline: true and false matches overlap by 50.0%; median true 0.150, false 0.500"
    )
    assert "cosine distance" in figures[0].one("svg").attributes["aria-label"]


def test_all_histograms_have_the_same_axes(report):
    narrow = Distances(np.float32([0.4]), np.float32([0.41, 0.42]), 5)
    models = [report.models[0], replace(report.models[1], distances=narrow)]
    queries = [replace(query, rankings=query.rankings[:2]) for query in report.queries]
    figures = histograms(replace(report, models=models, queries=queries))
    one, other = ([node.text for node in figure.all("text")] for figure in figures)
    assert one == other


def test_the_area_of_the_overlap_lies_in_both(report):
    (picture,) = histograms(of_one_model(report))
    shapes = {name: coordinates(picture.one("path", class_=name)) for name in ("true", "false", "both")}
    for true, false, both in zip(*shapes.values(), strict=True):
        assert true[0] == false[0] == both[0]
        assert both[1] == max(true[1], false[1])  # y grows downwards


@pytest.mark.parametrize(
    ("true", "false"), [([0.5], [0.5]), ([0.0], []), ([0, 1e-7], [1e-7]), ([3.0], [4e4, 5e4])]
)
def test_histograms_of_any_distances(report, true, false):
    distances = Distances(np.float32(true), np.float32(false), 5)
    report = of_one_model(report)
    (picture,) = histograms(replace(report, models=[replace(report.models[0], distances=distances)]))
    assert "nan" not in picture.text + str(picture)
    assert "overlap by 100.0%" in picture.text if true == false else True


def test_the_sample_of_pairs_is_told(report):
    def caption(**changes):
        return page_of(replace(report, **changes)).one("p", class_="small").text

    assert "2 true and 2 false pairs of all 5 queries with the whole gallery. " in caption()
    assert "of a sample, 5 evenly spread of 900 queries, with the whole gallery" in caption(num_evaluated=900)
    assert "gallery, first trial, before re-ranking. " in caption(num_trials=2, is_reranked=True)
