"""The page as it is used, in headless Chromium and from the disk: axes, filters, the full picture, the slider, the keys."""

import json

import pytest

from fakes import FakeExecutor
from latentpress.gallery import make_gallery

EVIL = '</script><img src=x onerror=alert(1)> "q" & \u2028 \u202eשמש'
BODY = f"""\
defaults: {{prompt: "a {{thing}}, {{style}}", steps: 3, size: 64x48}}
matrix:
  thing: [owl, {{label: {json.dumps(EVIL)}, value: kite}}, nan]
  style: [flat, line]
  seed: 1..4
  exclude: [{{thing: owl, style: line, seed: 2}}]
output: "{{index}}.png"
sheet: {{rows: seed, columns: thing}}
"""
ORDER = "(a, b) => a.dataset.row - b.dataset.row || a.dataset.column - b.dataset.column"
CELLS = f"[...document.querySelectorAll('.cell')].sort({ORDER})"
FACTS = "[...document.querySelectorAll('aside dl div')].map(one => [...one.children].map(part => part.textContent))"
TOP = "document.querySelector('{}').getBoundingClientRect().top"
HEADS = "[...document.querySelectorAll('.{} .label')].map(one => one.textContent)"


@pytest.fixture
def page(folder, chromium):
    """open(body, others) makes the gallery of a rendered folder and opens it."""

    def start(body=BODY, *others):
        made = folder(body)
        made.render(executor=FakeExecutor())
        for name, text, executor in others:
            folder(text, name).render(executor=executor)
        home = make_gallery([made.path, *(made.path.parent / name for name, *_ in others)]).page
        chromium.size(1100, 800)
        chromium.dark(False)
        chromium.open(home)
        chromium.wait("document.getElementById('counts').textContent")
        return chromium

    yield start
    assert not chromium.said, "nothing is told to the console"
    assert all(url.startswith(("file:", "about:")) for url in chromium.asked), "nothing is asked of a network"


def states(page):
    return page.run(f"{CELLS}.map(one => one.className.replace('cell ', ''))")


def test_rows_and_columns_are_swapped_and_filtered(page):
    page = page()
    assert page.run(HEADS.format("left")) == ["1", "2", "3", "4"]
    assert page.run(HEADS.format("top")) == [
        "owl",
        EVIL.replace("\u2028", "\\u2028").replace("\u202e", "\\u202e"),
        "nan",
    ]
    assert page.run("document.querySelectorAll('.cell img').length") == 8
    assert states(page) == ["done", "done", "failed"] * 4
    assert "the latents became NaN" in page.run("document.querySelector('.cell.failed').textContent")
    page.wait("[...document.querySelectorAll('.cell img')].every(one => one.naturalWidth === 64)")
    assert page.run("document.querySelector('.cell img').alt").startswith("Generated picture of: a owl, flat.")
    page.run(
        "(one => { one.value = '1'; one.dispatchEvent(new Event('change')); })(document.querySelector('[data-axis=style]'))"
    )
    assert states(page) == ["done", "done", "failed", "excluded", "done", "failed", *["done", "done", "failed"] * 2]
    page.click("#swap")
    assert page.run(HEADS.format("top")) == ["1", "2", "3", "4"]
    assert states(page) == ["done", "excluded", "done", "done", *["done"] * 4, *["failed"] * 4]
    page.click("[data-state=done]")
    assert states(page) == ["failed"] * 4
    page.click("[data-state=done]")
    page.key("/")
    page.call("Input.insertText", text="KITE")
    page.wait("document.querySelectorAll('.cell').length === 4")
    assert page.run("document.getElementById('counts').textContent") == "4 of 23 shown, 8 failed"
    assert "search=KITE" in page.run("location.hash")
    page.call("Page.reload")
    page.wait("document.querySelectorAll('.cell').length === 4 && document.querySelector('#rows').value === '0'")


def test_the_full_picture_zooms_and_tells_what_made_it(page):
    page = page()
    page.click(".cell.done")
    page.wait("document.querySelector('.layer.a img')?.naturalWidth === 64")
    assert page.run("document.querySelector('.layer.a img').src").endswith("out/1.png")
    facts = dict(page.run(FACTS))
    assert (facts["prompt"], facts["seed"], facts["steps"], facts["file"]) == ("a owl, flat", "1", "3", "1.png")
    page.key("+")
    assert page.run("document.querySelector('.stage').dataset.zoom") == "1.500"
    x, y = page.middle(".stage")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-500)
    page.wait("Number(document.querySelector('.stage').dataset.zoom) > 3")
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + 50, y + 20)
    page.mouse("mouseReleased", x + 50, y + 20)
    assert "translate(50px, 20px)" in page.run("document.querySelector('.stage').style.getPropertyValue('--move')")
    page.key("0")
    assert page.run("document.querySelector('.stage').dataset.zoom") == "1.000"
    page.run("navigator.clipboard.writeText = async (text) => { window.copiedText = text; }")
    page.key("y")
    copied = page.wait("window.copiedText")
    assert copied.startswith("prompt: a owl, flat\n")
    assert "\nsampler: euler\n" in copied
    page.key("ArrowDown")
    assert page.run("document.querySelector('aside dl').textContent").count("seed2") == 1
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert "the latents became NaN" in page.run("document.querySelector('.layer.a .mark').textContent")
    page.key("Escape")
    assert not page.run("document.querySelector('.viewer').open")
    page.wait("document.activeElement.dataset.row + document.activeElement.dataset.column === '12'", 5)


def test_two_pictures_are_compared_with_a_slider(page):
    page = page()
    page.click(".cell.done")
    page.key("c")
    page.wait("document.querySelector('.layer.b img')?.naturalWidth === 64")
    sources = "[...document.querySelectorAll('.layer img')].map(one => one.src.split('/').pop())"
    assert page.run(sources) == ["1.png", "8.png"], "the next thing, in the same style and with the same seed"
    x, y = page.middle(".handle")
    box = page.run("(box => [box.left, box.width])(document.querySelector('.stage').getBoundingClientRect())")
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", box[0] + box[1] / 4, y)
    page.mouse("mouseReleased", box[0] + box[1] / 4, y)
    assert abs(float(page.run("document.querySelector('.stage').style.getPropertyValue('--split')")[:-1]) - 25) < 1
    clip = page.run("getComputedStyle(document.querySelector('.layer.b')).clipPath")
    assert clip.startswith("inset(0px 0px 0px 25")
    page.key(".")
    assert abs(float(page.run("document.querySelector('.stage').style.getPropertyValue('--split')")[:-1]) - 30) < 1
    page.key("x")
    assert page.run(sources) == ["8.png", "1.png"]
    assert page.run("[...document.querySelectorAll('.differs dt')].map(one => one.textContent)") == ["prompt", "thing"]


def test_two_folders_are_compared(page):
    page = page(BODY, ("out2", BODY.replace("steps: 3", "steps: 4"), FakeExecutor()))
    assert page.run("document.querySelector('[data-axis=folder]').value") == "0"
    assert page.run("document.getElementById('counts').textContent").startswith(
        "12 of 46 shown, style flat only, folder out only"
    )
    page.click(".cell.done")
    page.key("c")
    page.wait("document.querySelectorAll('.layer img').length === 2")
    sources = page.run(
        "[...document.querySelectorAll('.layer img')].map(one => one.src.split('/').slice(-2).join('/'))"
    )
    assert sources == ["out/1.png", "out2/1.png"]
    assert page.run("[...document.querySelectorAll('.name')].map(one => one.textContent)") == [
        "folder: out",
        "folder: out2",
    ]
    assert "steps" in page.run("[...document.querySelectorAll('.differs dt')].map(one => one.textContent)")


def test_two_folders_stand_beside_each_other_where_a_side_is_free(page):
    body = BODY.replace("sheet: {rows: seed, columns: thing}", "sheet: {columns: seed}")
    page = page(body, ("out2", body, FakeExecutor()))
    assert page.run(HEADS.format("left")) == ["out", "out2"]


OTHER = """\
defaults: {prompt: "a {thing}", steps: 3, size: 64x48}
matrix: {weather: [sun, rain], thing: [kite, owl], seed: 2..5}
output: "{index}.png"
"""


def test_folders_of_different_axes_are_both_shown_along_what_both_have(page):
    page = page(BODY, ("out2", OTHER, FakeExecutor()))
    assert page.run(HEADS.format("left")) == ["out", "out2"]
    assert page.run("document.getElementById('columns').selectedOptions[0].text") == "thing"
    assert states(page) == ["done", "done", "failed", "excluded", "done", "excluded", "excluded", "done"]
    said = page.run("document.getElementById('apart').textContent")
    assert "Only out has the axis style." in said
    assert "Only out2 has the axis weather." in said
    assert "Of seed only out has 1 and only out2 has 5." in said
    page.click(".cell.done")
    page.key("c")
    sources = "[...document.querySelectorAll('.layer img')].map(one => one.src.split('/').slice(-2).join('/'))"
    assert page.run(sources) == ["out/2.png", "out2/5.png"], "the owl of the same seed, not the file of the same name"


def test_words_of_a_picture_that_is_lacking_stand_in_its_half(page):
    page = page(BODY, ("out2", BODY.replace("1..4", "2..4"), FakeExecutor()))
    page.click(".cell.done")
    page.key("c")
    assert page.run("document.querySelector('.layer.b .mark').textContent") == "no such picturenothing is planned there"
    inside = """(() => {
      const at = document.querySelector('.handle').getBoundingClientRect(), edge = at.left + at.width / 2;
      return [...document.querySelectorAll('.layer.b .mark > *')].map(one => {
        const range = document.createRange();
        range.selectNodeContents(one);
        return range.getBoundingClientRect().left - edge;
      });
    })()"""
    assert min(page.run(inside)) > 0
    page.key(".")
    page.key("x")
    assert min(page.run(inside)) > 0


def test_awkward_names_and_mixed_sizes(page):
    """Characters that mean something in an address, a long text from right to left, and no axis but the size."""
    body = """\
defaults: {prompt: "%s", steps: 1, seed: 1}
matrix: {size: [64x64, 128x48, 48x160]}
output: "a#b %%41 & 'c' שמש {index}.png"
""" % ("שמש בשמיים " * 28)
    page = page(body)
    page.wait("[...document.querySelectorAll('.cell img')].filter(one => one.naturalWidth).length === 3")
    assert page.run("document.querySelector('.cell img').src").endswith("-160.webp")
    page.click(".cell.done")
    page.wait("document.querySelector('.layer.a img')?.naturalWidth === 64")
    assert page.run("document.documentElement.scrollWidth") == 1100


def test_the_keyboard_alone_goes_everywhere(page):
    page = page()
    page.run("document.querySelector('.cell[tabindex=\"0\"]').focus()")
    for key in ("ArrowDown", "ArrowRight", "End", "ArrowUp", "Home"):
        page.key(key)
    assert page.run("[document.activeElement.dataset.row, document.activeElement.dataset.column]") == ["0", "0"]
    page.key("Enter")
    assert page.run("document.querySelector('.viewer').open")
    page.key("Escape")
    page.key("s")
    assert page.run(HEADS.format("top")) == ["1", "2", "3", "4"]
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.run(background) == "rgb(255, 255, 255)"
    page.dark(True)
    assert page.run(background) == "rgb(22, 24, 28)"
    page.key("d")
    assert page.run(background) == "rgb(255, 255, 255)", "light, whatever the system prefers"
    page.run("localStorage.clear()")
    page.key("?")
    assert page.run("document.querySelector('.keys').open")


def test_headers_stay_and_a_phone_is_wide_enough(page):
    page = page(BODY.replace("1..4", "1..40").replace(", nan]", "]"))
    page.run("document.querySelector('main').scrollTo(0, 4000)")
    page.wait("document.querySelector('.left .label').textContent > '20'")
    assert page.run(TOP.format(".top")) == page.run(TOP.format("main"))
    assert page.run("document.querySelectorAll('.cell').length") < 40
    page.size(360, 700, phone=True)
    page.call("Page.reload")
    page.wait("document.querySelectorAll('.cell img').length > 4")
    assert page.run("document.documentElement.scrollWidth") == 360
    page.click(".cell.done")
    page.key("c")
    page.wait("document.querySelectorAll('.layer img').length === 2")
    assert page.run("document.querySelector('.stage').getBoundingClientRect().height") > 200
    assert page.run("document.querySelector('.viewer').scrollWidth") == 360
