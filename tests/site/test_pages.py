"""Every page in a browser without a network, as wide as a laptop and as a phone."""

import json

import jax
import numpy as np
import pytest

from jamsgrad import conventions, problems

WIDE, NARROW = 1280, 400
RULES = [*conventions, "adam"]

# Formulas are typeset after the page is loaded; pictures further down are loaded when asked for.
READY = """(async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => 0)));
  if (!document.querySelector(".arithmatex")) return;
  while (!window.MathJax?.startup?.promise) await new Promise((go) => setTimeout(go, 10));
  await MathJax.startup.promise;
})()"""
FACTS = """(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const page = document.documentElement;
  const longest = (block) => Math.max(...block.innerText.split("\\n").map((line) => line.length));
  return {
    formulas: all(".arithmatex").length,
    raw: all(".arithmatex").filter((one) => !one.querySelector("mjx-container svg")).length,
    unseen: all(".arithmatex svg").filter((one) => one.getBoundingClientRect().width < 4).length,
    literal: document.body.innerText.match(/:math:|\\.\\. math|\\$\\$/g) ?? [],
    wrong: all("[data-mml-node=merror], mjx-merror").length,
    pictures: document.images.length,
    missing: [...document.images].filter((one) => !one.naturalWidth).map((one) => one.src),
    beyond: page.scrollWidth - page.clientWidth,
    code: all("pre > code").length,
    cut: all("pre > code").filter((one) => one.scrollWidth > one.clientWidth && longest(one) <= 88)
      .map((one) => one.innerText.split("\\n")[0]),
  };
})()"""


@pytest.fixture(scope="module")
def seen(browser, site, built):
    """What is seen on each page, at both widths."""
    facts = {}
    for file in sorted(built.rglob("*.html")):
        page = file.relative_to(built).as_posix().removesuffix("index.html")
        browser.size(WIDE)
        browser.open(site + page)
        browser.run(READY)
        facts[page] = {WIDE: browser.run(FACTS)}
        browser.size(NARROW)
        facts[page][NARROW] = browser.run(FACTS)
        facts[page]["errors"] = browser.errors()
        facts[page]["asked"] = browser.requests()
    assert len(facts) > 15
    return facts


def where(seen, fault, width=WIDE):
    """The pages on which something is at fault."""
    return {page: facts[width][fault] for page, facts in seen.items() if facts[width][fault]}


def test_formulas_are_typeset_without_a_network(seen):
    assert where(seen, "raw") == {}
    assert where(seen, "wrong") == {}
    assert where(seen, "literal") == {}
    assert where(seen, "unseen") == where(seen, "unseen", NARROW) == {}
    assert sum(facts[WIDE]["formulas"] for facts in seen.values()) > 100


def test_no_page_asks_another_host(seen, site):
    def foreign(url):
        return not url.startswith((site, "data:", "blob:"))

    assert {page: list(filter(foreign, facts["asked"])) for page, facts in seen.items()} == {
        page: [] for page in seen
    }
    assert all(len(facts["asked"]) > 3 for facts in seen.values())


def test_the_console_has_no_errors(seen):
    assert {page: facts["errors"] for page, facts in seen.items() if facts["errors"]} == {}


def test_pictures_are_there(seen):
    assert where(seen, "missing") == {}
    assert sum(facts[WIDE]["pictures"] for facts in seen.values()) >= 4


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_pages_do_not_scroll_sideways(seen, width):
    assert where(seen, "beyond", width) == {}


def test_code_of_88_columns_fits_a_laptop(seen):
    assert where(seen, "cut") == {}
    assert sum(facts[WIDE]["code"] for facts in seen.values()) > 100


@pytest.mark.parametrize("words", ["time limit", "standard error", "plateau", "NaN", "pandas"])
def test_search_finds(browser, site, words):
    browser.size(WIDE)
    browser.open(site)
    browser.run("document.querySelector('.md-search__input').focus()")
    browser.call("Input.insertText", text=words)
    browser.key("End")  # the theme waits for a key
    browser.wait("document.querySelector('.md-search-result__link')")
    texts = browser.run(
        "[...document.querySelectorAll('.md-search-result__item')].map((x) => x.textContent)"
    )
    assert any(words.lower() in text.lower() for text in texts)


# ---- Explore ----


@pytest.fixture
def explore(browser, site):
    """The page Explore, on which nothing moves by itself; without an error at the end."""
    browser.size(WIDE, still=True)
    browser.open(f"{site}explore/")
    yield browser
    assert browser.errors() == []


def text(browser, selector):
    browser.run("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    return browser.run(f"document.querySelector({selector!r}).textContent")


def click(browser, selector):
    browser.run(f"document.querySelector({selector!r}).click()")


def show(browser, rules):
    for rule in RULES:
        box = f"document.querySelector('[name=ex-rule][value={rule}]')"
        browser.run(f"{box}.checked === {json.dumps(rule in rules)} || {box}.click()")


def card(browser, rule, name):
    shown = text(browser, f'[data-rule="{rule}"] [data-is="{name}"]')
    return float(shown.replace("\N{MINUS SIGN}", "-"))


def middle(browser):
    """The middle of the picture, scrolled to the middle of the window."""
    browser.run("document.querySelector('#ex-picture').scrollIntoView({ block: 'center' })")
    box = browser.run("document.querySelector('#ex-picture').getBoundingClientRect().toJSON()")
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def start(browser):
    line = next(x for x in text(browser, "#ex-python").splitlines() if x.startswith("start"))
    return json.loads(line.partition("(")[2].rstrip(")"))


def pixels(browser):
    text(browser, "#ex-python")  # wait for the drawing
    return browser.run("document.querySelector('#ex-picture').toDataURL()")


def test_a_click_starts_a_search_there(explore):
    x, y = middle(explore)
    before = pixels(explore)
    explore.mouse(x, y)
    near, _ = start(explore), text(explore, "output[for=ex-t]")
    assert np.abs(near).max() < 0.5  # of a box from -5 to 5
    assert text(explore, "output[for=ex-t]") == "300"  # played to the end, as nothing moves
    assert pixels(explore) != before
    explore.mouse(x, y, to=(x + 60, y - 60))  # a drag takes the start along
    assert all(a > b + 0.5 for a, b in zip(start(explore), near, strict=True))


def test_a_finger_sets_the_start(explore):
    explore.size(NARROW, still=True)
    explore.call("Emulation.setTouchEmulationEnabled", enabled=True)
    x, y = middle(explore)
    explore.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    explore.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    assert np.abs(start(explore)).max() < 0.7
    explore.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_keys_move_the_start_and_the_time(explore):
    explore.run("document.querySelector('#ex-picture').focus()")
    (x0, x1), keys = start(explore), {"ArrowRight": (0.1, 0), "ArrowUp": (0, 0.1)}
    for key, (by0, by1) in keys.items():
        explore.key(key)
        x0, x1 = x0 + by0, x1 + by1
        assert start(explore) == pytest.approx([x0, x1])
    for key, t in {".": "61", "r": "0", " ": "2\u2009000"}.items():
        explore.key(key, text=key)
        assert text(explore, "output[for=ex-t]") == t
    explore.key("r", text="r")
    explore.key("g", text="g")
    assert text(explore, "output[for=ex-t]") == "500"
    assert "sequence" in text(explore, "#ex-python")
    assert explore.run("document.activeElement.id") == "ex-picture"  # not the theme's search


def test_step_play_and_reset(explore):
    click(explore, "[data-do=reset]")
    for t in "123":
        click(explore, "[data-do=step]")
        assert text(explore, "output[for=ex-t]") == t
    explore.size(WIDE)
    click(explore, "[data-do=play]")
    assert "Pause" in text(explore, "[data-do=play]")
    explore.wait("Number(document.querySelector('#ex-t').value) > 8")
    click(explore, "[data-do=play]")
    assert "Play" in text(explore, "[data-do=play]")
    assert int(text(explore, "output[for=ex-t]")) == explore.run(
        "Number(document.querySelector('#ex-t').value)"
    )


@pytest.mark.parametrize(
    ("knob", "value"), [("alpha", "0.1"), ("b1", "0.9"), ("b2", "0.999"), ("eps", "1e\u22128")]
)
def test_sliders_bend_the_path(explore, knob, value):
    assert text(explore, f"output[for=ex-{knob}]") == value
    explore.run(f"document.querySelector('#ex-{knob}').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "PageUp"):  # each is a step of its own
        before = pixels(explore), value
        explore.key(key)
        value = text(explore, f"output[for=ex-{knob}]")
        assert value != before[1]
        assert pixels(explore) != before[0] or knob == "eps"  # which is far below sqrt(vhat)


def test_every_button_of_the_text_sets_the_picture(explore):
    n = explore.run("document.querySelectorAll('.ex-set').length")
    drawn = set()
    for i in range(n):
        explore.run(f"document.querySelectorAll('.ex-set')[{i}].click()")
        drawn.add(pixels(explore))
        assert explore.run("document.querySelectorAll('.ex-set[aria-pressed=true]').length") == 1
    assert len(drawn) == n >= 16


def test_after_one_gradient_of_1000_only_the_square_of_adam_shrinks(explore):
    click(explore, "[value=bowl]")
    show(explore, RULES)
    click(explore, "[data-do=spike]")
    sides = {}
    for t in (301, 2000):
        explore.run(
            "{ const t = document.querySelector('#ex-t'); "
            f"t.value = {t}; t.dispatchEvent(new Event('input')); }}"
        )
        assert text(explore, "output[for=ex-t]").replace("\u2009", "") == str(t)
        sides[t] = {rule: card(explore, rule, "vhat") for rule in RULES}
    assert sides[301]["paper"] == sides[2000]["paper"] > 30
    assert sides[301]["optax"] == sides[2000]["optax"] > 30
    assert sides[2000]["adam"] < 0.5 * sides[301]["adam"]
    for rule in ("pytorch", "keras"):  # corrected after the maximum, by what has faded since
        assert 0.5 * sides[301][rule] < sides[2000][rule] < 0.9 * sides[301][rule]


@pytest.mark.parametrize("rule", RULES)
def test_the_python_of_the_page_takes_the_path_of_the_page(explore, rule):
    show(explore, [rule])
    names: dict = {}
    with jax.numpy_dtype_promotion("standard"):
        exec(text(explore, "#ex-python"), names)
    end = np.asarray(names["result"].last_x)
    settings = {"alpha": 0.1, "b1": 0.9, "b2": 0.999, "eps": 1e-8}
    search = json.dumps({"problem": "himmelblau", "rule": rule, "start": [1, -4], **settings})
    assert explore.run(f"amsgrad.run({search}, 60)[60].x") == pytest.approx(end, abs=1e-9)
    assert card(explore, rule, "fun") == pytest.approx(
        float(problems.himmelblau.fun(end)), rel=0.01
    )


def test_the_picture_has_the_sharpness_of_the_screen_and_the_colours_of_the_scheme(explore):
    lines = []
    for scale, dark in ((1, False), (2, True)):
        explore.size(WIDE, scale=scale, dark=dark, still=True)
        explore.wait(f"document.body.dataset.mdColorScheme === '{'slate' if dark else 'default'}'")
        text(explore, "#ex-python")
        sides = "document.querySelector('#ex-picture')"
        assert explore.run(f"{sides}.width / {sides}.clientWidth") == pytest.approx(scale, rel=0.01)
        color = (
            "getComputedStyle(document.querySelector('#explore')).getPropertyValue('--ex-paper')"
        )
        lines.append(explore.run(color))
    assert len(set(lines)) == 2
