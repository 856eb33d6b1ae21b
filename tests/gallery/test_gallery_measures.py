"""Numbers above a gallery's grid: the plot as the browser shows it, and the means in its table."""

import numpy as np
from PIL import Image

from fakes import FakeExecutor
from latentpress.cli import run_cli

LABEL = '</details><script>alert(1)</script> "q" $x$'
BODY = (
    "defaults: {prompt: 'a {style} kite'}\nmatrix:\n"
    f"  style: [flat, {{label: {LABEL!r}, value: line}}, nan]\n  seed: 1..3\noutput: '{{index}}.png'\n"
)
ROWS = "[...document.querySelectorAll('#measures tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"


def test_the_plot_is_seen_and_the_table_has_the_means(made, chromium, capsys):
    assert run_cli(["gallery", str(made), "--measures", "--against", "seed=2"]) == 0
    page = capsys.readouterr().out.splitlines()[-1].removeprefix("gallery: ")
    chromium.size(1100, 800)
    chromium.open(page)
    chromium.wait("document.getElementById('counts').textContent")
    assert chromium.run("document.getElementById('measures').open") is False
    assert chromium.run("document.querySelectorAll('.cell').length") == 9
    chromium.run("document.querySelector('#measures summary').click()")
    chromium.wait("document.querySelector('#measures img').naturalWidth > 100")
    alt = chromium.run("document.querySelector('#measures img').alt")
    assert alt.startswith(
        "Plot. m: 6 of 9 pictures measured, against seed=2. Dots for pictures and a stroke at their mean"
    )
    assert f"a row for each style: flat, {LABEL}, nan. Panels: seconds; luma (0 to 1);" in alt
    heads = chromium.run("[...document.querySelectorAll('#measures thead th')].map(one => one.textContent)")
    rows = {row[0]: dict(zip(heads[1:], row[1:], strict=True)) for row in chromium.run(ROWS)}
    assert list(rows) == ["flat", LABEL, "nan", "all"]
    lumas = []
    for number in (1, 2, 3):
        with Image.open(made / f"{number}.png") as image:
            lumas.append((np.asarray(image.convert("RGB")) @ [0.299, 0.587, 0.114]).mean() / 255)
    assert rows["flat"]["luma"] == f"{np.mean(lumas):.3f}"
    assert (rows["flat"]["pictures"], rows["nan"]["pictures"], rows["nan"]["luma"]) == ("3", "0", "")
    assert chromium.run("document.getElementById('grid').clientHeight") > 0, "the grid keeps a part of the window"
    assert not chromium.said
    assert all(url.startswith(("file:", "about:")) for url in chromium.asked)


def test_several_folders_have_a_plot_each_and_a_gallery_without_them_has_none(made, folder, capsys):
    other = folder(BODY.replace("nan", "toy"), "other")
    other.render(executor=FakeExecutor())
    home = made / ".latentpress/gallery"
    assert run_cli(["gallery", str(made), str(other.path), "--measures", "--by", "seed"]) == 0
    plots = {path.name: path.read_bytes() for path in home.glob("*.svg")}
    assert plots.keys() == {"measures-1.svg", "measures-2.svg"}
    text = (home / "index.html").read_text()
    assert "<h2 dir=auto>out</h2>" in text
    assert "<h2 dir=auto>other</h2>" in text
    assert run_cli(["gallery", str(made), "--measures", "--by", "seed"]) == 0
    assert {path.name: path.read_bytes() for path in home.glob("*.svg")} == {"measures-1.svg": plots["measures-1.svg"]}
    assert run_cli(["gallery", str(made)]) == 0
    assert not list(home.glob("*.svg"))
    assert "details" not in (home / "index.html").read_text()
    for path in made.glob("*.png"):
        path.unlink()
    capsys.readouterr()
    assert run_cli(["gallery", str(made), "--measures"]) == 0
    assert f"note: {made}: no picture could be measured" in capsys.readouterr().err
    assert run_cli(["gallery", str(made), "--by", "seed"]) == 2
    assert "--by is of the measures; add --measures" in capsys.readouterr().err
