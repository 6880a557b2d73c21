from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.report.example_pages import ASKED
from wwc_research.report import pdf

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# pages have no frames and no style sheets to fetch first
QUICKLY = {"resultTypes": ["violations"], "preload": False, "iframes": False}
EVERY_RULE = {**QUICKLY, "runOnly": {"type": "tag", "values": RULES}}
# colours are the same at every width, and nothing else changes in the dark
BUT_COLOURS = {**EVERY_RULE, "rules": {"color-contrast": {"enabled": False}}}
COLOURS = {**QUICKLY, "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
WIDTHS = (390, 768, 1440)
# the pages of test_html_validity, so that none is made twice
LOOKED_AT = {
    "short": (("improvement.staff", "en"), ("unreliable.staff", "es"), ("failed.staff", "pt")),
    "full": (("unreliable.research", "en"), ("failed.research", "es"), ("empty.research", "pt")),
    "city": (("city", "es"), ("empty_city", "pt")),
    "run": (("index", "en"), ("comparison", "pt"), ("standard", "es"), ("cities", "en")),
}
# how far the page, and each thing in it that cannot be scrolled by itself, reaches beyond the window
TOO_WIDE = """() => {
  const wide = document.documentElement.clientWidth;
  const held = element => element.closest('.scroll, .picture, .aside, .skip, [aria-hidden], thead');
  const out = [...document.body.querySelectorAll('*')].filter(
    element => !held(element) && element.getBoundingClientRect().right > wide + 1);
  const page = document.documentElement.scrollWidth > wide ? ['the page'] : [];
  return [...page, ...out.slice(0, 5).map(element => element.outerHTML.slice(0, 100))];
}"""
CLOSED = """() => [...document.querySelectorAll('details:not(.code)')].filter(
  one => one.getClientRects().length
    && ![...one.children].some(inside => inside.tagName !== 'SUMMARY' && inside.getBoundingClientRect().height > 0)
).map(one => one.textContent.slice(0, 60))"""
SHOWN = "rows => rows.filter(row => row.offsetHeight).map(row => row.querySelector('th').dataset.title)"


@pytest.fixture(scope="session")
def chromium():
    try:
        program = pdf.browser()
    except pdf.InputError:
        pytest.skip("there is no Chromium, Chrome or Edge on this machine")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(program), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def opened(chromium):
    @contextmanager
    def page_of(path, **options):
        """The page in a window of its own; afterwards it must have asked for nothing and complained of nothing."""
        context = chromium.new_context(**options)
        page, asked, told = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(path.as_uri())
        yield page
        context.close()
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert told == []

    return page_of


def violations(page, options=EVERY_RULE):
    found = Axe().run(page, options=options).response["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize("kind", LOOKED_AT)
def test_pages_are_open_to_everyone_at_every_width_and_ask_for_nothing(pages, opened, kind):
    for at, (name, code) in enumerate(LOOKED_AT[kind]):
        with opened(pages.path(name, code), viewport={"width": WIDTHS[0], "height": 900}) as page:
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate(TOO_WIDE) == [], (name, width)
                if width == WIDTHS[0]:
                    assert violations(page) == [], (name, width)
            assert violations(page, BUT_COLOURS) == [], (name, width)
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), name
            if at == 0:
                page.emulate_media(color_scheme="dark")
                assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
                assert violations(page, COLOURS) == [], (name, "dark")


@pytest.mark.parametrize(
    ("name", "code"), [("improvement.staff", "en"), ("unreliable.research", "en"), ("index", "en")]
)
def test_on_paper_nothing_is_cut_off_and_nothing_stays_folded(pages, opened, name, code):
    # US letter without its margins, at 96 pixels an inch
    with opened(pages.path(name), viewport={"width": 680, "height": 900}, color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate(TOO_WIDE) == []
        assert page.evaluate(CLOSED) == []
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_index_is_sorted_and_filtered_by_keyboard(pages, opened):
    with opened(pages.path("index"), viewport={"width": 1440, "height": 900}) as page:
        rows = page.locator("#questions tbody tr")
        before = rows.evaluate_all(SHOWN)
        assert len(before) == len(ASKED)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.locator("#questions thead button").first.focus()
        page.keyboard.press("Enter")
        assert rows.evaluate_all(SHOWN) == sorted(before)
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
        page.keyboard.press("Enter")
        assert rows.evaluate_all(SHOWN) == sorted(before, reverse=True)
        page.locator("input[name=text]").focus()
        page.keyboard.type("BROADBAND")
        assert set(rows.evaluate_all(SHOWN)) == {"Broadband access"}
        assert page.locator("#shown").inner_text() == f"Rows shown: 2 of {len(ASKED)}."
        page.locator("select[name=verdict]").focus()
        page.keyboard.type("Evidence of h")
        page.keyboard.press("Tab")
        assert len(rows.evaluate_all(SHOWN)) < 2
        page.locator("button[type=reset]").focus()
        page.keyboard.press("Enter")
        # not wait_for_function: what it evaluates a second time is forbidden by the page's own policy
        expect(page.locator("#questions tbody tr:not([hidden])")).to_have_count(len(before))
        assert violations(page) == []


def test_the_index_is_whole_without_its_script(pages, opened):
    with opened(pages.path("index"), java_script_enabled=False) as page:
        assert page.locator("#questions tbody tr:visible").count() == len(ASKED)
        assert page.locator("#choose").is_hidden()
        assert page.locator("#questions thead button").count() == 0


def test_what_a_page_must_not_do_is_seen_and_refused_by_its_own_policy(pages, chromium, tmp_path):
    bad = tmp_path / "bad.html"
    planted = (
        '<img src="http://127.0.0.1:9/x.png" alt=""><script>document.title = "run"</script>'
        '<p style="width: 3000px; color: #999; background: #fff">faint and wide</p></main>'
    )
    bad.write_text(pages.html("improvement.staff").replace("</main>", planted), encoding="utf-8")
    page, told = chromium.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.goto(bad.as_uri())
    assert page.title() != "run"
    assert len([one for one in told if "Content Security Policy" in one]) == 2
    assert [rule for rule, _ in violations(page, COLOURS)] == ["color-contrast"]
    assert len(page.evaluate(TOO_WIDE)) == 2
    page.close()
