"""The fonts of a sheet's PDF by the names that Typst has for them, read back with poppler."""

import shutil
import subprocess

import pytest
from fontTools.ttLib import TTFont

from labels import page_of
from latentpress.sheets.pdf import pdf_document
from latentpress.sheets.text.fonts import fonts_of
from latentpress.sheets.typ import About


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler is not installed: Debian's poppler-utils")
@pytest.mark.parametrize(("family", "warned"), [("Acme Grotesk Shrt", False), (None, True)])
def test_a_font_is_named_as_typst_names_it(tmp_path, family, warned):
    """By name ID 1, and not by the whole name that HarfBuzz and fontconfig give; a nameless font loses no text."""
    font = TTFont(fonts_of().first.path)
    if family:
        font["name"].setName(family, 1, 3, 1, 0x409)
        font["name"].setName("Acme Grotesk Headline Text", 16, 3, 1, 0x409)
    else:
        font["name"].names = []
    path = tmp_path / "acme.ttf"
    font.save(path)
    document = pdf_document([page_of(["Größe ½", "seed"])], tmp_path, About("seeds"), font=str(path))
    read = subprocess.run(["pdftotext", "-", "-"], input=document.pdf, capture_output=True, check=True)
    assert read.stdout.decode().split() == ["Größe", "½", "seed"]
    assert (f'font: "{family}"' in document.typ) != warned
    assert [line.replace(str(path), "FONT") for line in document.said] == [
        "typst cannot use the font FONT, so the PDF has G (U+0047), r (U+0072), ö (U+00F6), ß (U+00DF), e (U+0065), "
        "½ (U+00BD), s (U+0073), d (U+0064) in Noto Sans"
    ] * warned
