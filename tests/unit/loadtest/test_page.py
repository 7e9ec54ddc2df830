"""The page and the text: what a relay words is shown, and does nothing."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.loadtest.charts import Axis, Line, line_chart, nice_step
from relay.loadtest.page import as_html
from relay.loadtest.text import as_text
from tests.unit.loadtest.plans import plan
from tests.unit.loadtest.reports import report, tally

EVIL = '<script>alert(1)</script><img src=x onerror="x">'


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def page_with(text: str) -> str:
    hostile = tally()
    hostile.refusals.add_answer(f"blocked: {text}")
    hostile.notices.add(text)
    hostile.failures.add(text)
    hostile.closes.add(text)
    hostile.problem = text
    return as_html(report(hostile, whole=plan(url="ws://127.0.0.1/<script>")))


def test_text_of_the_relay_is_escaped() -> None:
    page = page_with(EVIL)

    assert "script" not in Elements(page).tags
    assert "img" not in Elements(page).tags
    assert "&lt;script&gt;alert(1)" in page


@given(st.text(max_size=100))
def test_no_text_of_the_relay_makes_an_element(text: str) -> None:
    allowed = set(Elements(page_with("harmless")).tags)

    assert set(Elements(page_with(text)).tags) <= allowed


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = page_with("harmless")
    elements = Elements(page)

    assert not {"script", "link", "iframe", "img", "object"} & set(elements.tags)
    assert not {"src", "href", "onload", "onclick"} & elements.attributes
    assert "default-src 'none'" in page
    assert "url(" not in page


def test_the_page_has_the_plots_of_what_was_measured() -> None:
    page = as_html(report(tally()))

    captions = re.findall(r"<figcaption>([^<]+?) <", page)
    assert captions == [
        "Events accepted over time",
        "Latency over time, p95 of each moment",
        "Latency: how many took no longer",
    ]


def test_a_run_that_measured_nothing_still_makes_a_page() -> None:
    assert "<svg" not in as_html(report())


def test_a_terminal_gets_no_control_characters_of_the_relay() -> None:
    hostile = tally()
    hostile.notices.add("\x1b[2Jgone\r\n")

    text = as_text(report(hostile))

    assert "\x1b" not in text
    assert "\r" not in text


@given(
    st.lists(st.tuples(st.floats(0, 1e7), st.none() | st.floats(0, 1e9)), max_size=30),
    st.booleans(),
)
def test_every_chart_is_well_formed_and_within_its_frame(points: list[tuple[float, float | None]], x_log: bool) -> None:
    chart = line_chart(
        [Line("ok", "ok", sorted(points, key=lambda point: point[0]))], "a", x_unit="s", y_unit="ms", x_log=x_log
    )

    if chart:
        for circle in ElementTree.fromstring(chart).iter("circle"):
            assert 0 <= float(circle.attrib["cx"]) <= 460
            assert 0 <= float(circle.attrib["cy"]) <= 190
    else:
        assert all(y is None for _, y in points)


@pytest.mark.parametrize("rough, step", [(0.3, 0.5), (1, 1), (47, 50), (0.0021, 0.005), (0, 1)])
def test_ticks_are_round(rough: float, step: float) -> None:
    assert nice_step(rough) == pytest.approx(step)


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    chart = line_chart([Line("ok", "ok", [(0, 1), (1, None), (2, 1), (3, 1)])], "a", x_unit="s", y_unit="ms")

    path = re.search(r'<path[^>]* d="([^"]+)"', chart)
    assert path is not None
    assert (path[1].count("M"), path[1].count("L")) == (2, 1)


def test_a_logarithmic_axis_has_a_tick_for_each_power_of_ten() -> None:
    assert Axis(0.1, 100.0, 0, 300, logarithmic=True).ticks() == pytest.approx([0.1, 1, 10, 100])
