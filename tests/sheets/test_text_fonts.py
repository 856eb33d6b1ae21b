"""Which font a character takes, and which characters none has: compared with fontTools' reading of the same files."""

import shutil
import subprocess

import pytest
from fontTools.ttLib import TTFont

from latentpress.errors import UsageError
from latentpress.sheets.text.fonts import BUNDLED, Fonts, bundled, clusters, fonts_of, installed

BARE = Fonts(bundled())


def characters(path, index=0):
    with TTFont(path, fontNumber=index, lazy=True) as font:
        return set(font["cmap"].getBestCmap())


@pytest.mark.parametrize("face", bundled(), ids=lambda face: face.path.name)
def test_a_bundled_font_has_what_fonttools_reads(face):
    assert set(face.characters) == characters(face.path)


def test_the_bundled_fonts_carry_their_licence():
    for path in BUNDLED.glob("*.ttf"):
        with TTFont(path) as font:
            names = font["name"]
        assert "SIL Open Font License" in names.getDebugName(13)
        assert f"{path.name}" in (licence := (BUNDLED / "OFL.txt").read_text())
        assert names.getDebugName(0).split(". ")[0] in licence


def test_without_any_font_of_the_system_european_text_and_signs_are_there():
    assert BARE.missing("Größe ½ – café × ° naïve Ωmega ψ Ёлка Їжак ≤ ≥ ≈ → ∞ ∑ 𝜎 – “quoted” €") == []


def test_missing_names_each_character_once_in_order():
    assert BARE.missing("ab\ue000c絵文\ue000絵") == ["\ue000", "絵", "文"]


def test_joiners_and_marks_of_direction_are_never_missing():
    assert BARE.missing("a\u200db\ufe0f\u2068c\u2069\u00ad\n") == []


def test_a_composed_letter_counts_as_its_parts_do():
    assert BARE.missing("e\u0301 A\u030a") == []
    assert BARE.pick("e\u0301").family == "Noto Sans"


def test_clusters_keep_together_what_a_reader_takes_for_one():
    assert clusters("e\u0301👩‍🚀🇩🇪क्षिx") == ["e\u0301", "👩‍🚀", "🇩🇪", "क्षि", "x"]


def test_bold_takes_the_bold_face_and_falls_back_to_the_regular_one():
    assert BARE.pick("a", bold=True).path.name == "NotoSans-Bold.ttf"
    assert BARE.pick("∞", bold=True).path.name == "NotoSansMath-Regular.ttf"


def test_the_order_of_fonts_is_the_same_every_time():
    first = installed()
    installed.cache_clear()
    assert installed() == first


@pytest.mark.skipif(not shutil.which("fc-list"), reason="fontconfig is not installed: Debian's package is fontconfig")
@pytest.mark.parametrize("char", "अ語한م😀ไ")
def test_a_character_is_missing_where_fontconfig_knows_no_font_of_it(char):
    line = ["fc-list", f":charset={ord(char):x}:slant=0:width=100", "--format", "%{file}\t%{weight}\n"]
    listed = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    known = {entry.split("\t")[0] for entry in listed if entry.split("\t")[1] in ("80", "200")}
    assert (fonts_of().missing(char) == []) == bool(known)
    if known:
        picked = fonts_of().pick(char)
        assert str(picked.path) in known
        assert ord(char) in characters(picked.path, picked.index)


def test_emoji_are_coloured_where_a_coloured_font_is_there_and_text_signs_are_not():
    if not any(font.coloured for font in installed()):
        pytest.skip("no font of coloured emoji here: Debian's package is fonts-noto-color-emoji")
    assert fonts_of().pick("😀").coloured
    assert fonts_of().pick("❤️").coloured
    assert not fonts_of().pick("1").coloured
    assert not fonts_of().pick("≤").coloured


def test_a_font_of_your_own_comes_first(tmp_path):
    own = tmp_path / "mine.ttf"
    shutil.copy(BUNDLED / "NotoSansMath-Regular.ttf", own)
    assert fonts_of(str(own)).pick("∞").path == own
    assert fonts_of("noto sans math").first.family == "Noto Sans Math"


@pytest.mark.parametrize("content", [None, b"", b"no font at all"])
def test_a_font_that_cannot_be_used_is_refused_by_name(tmp_path, content):
    path = tmp_path / "mine.ttf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"font .*mine\.ttf: .*give a \.ttf, \.otf or \.ttc file"):
        fonts_of(str(path))
    with pytest.raises(UsageError, match="font 'Comic Nonsense' is not installed here"):
        fonts_of("Comic Nonsense")
