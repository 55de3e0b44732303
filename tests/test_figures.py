"""Figures whose contents are worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.font_manager import findfont
from matplotlib.text import Text

from psa_core.evaluation import figures
from psa_core.evaluation.metrics import LOSSES


def test_a_heat_map_leaves_the_image_where_no_class_is_active():
    image = np.full((2, 2, 3), 200, np.uint8)
    maps = np.array([[[0, 1], [0, 1]], [[0, 0], [0, 0]]], np.float32)
    found = figures.heat(image, maps)
    np.testing.assert_array_equal(found[:, 0], 200)
    brightest = np.array([252, 255, 164])  # of the colour map
    np.testing.assert_allclose(found[0, 1], 0.25 * 200 + 0.75 * brightest, atol=1.5)


def test_rows_have_the_names_of_their_images():
    picture = np.zeros((4, 4, 3), np.uint8)
    rows = {"a$b$": [picture, picture], "x" * 30 + "end": [picture]}
    figure = figures.grid(rows, ["image", "label"], ["cat"])
    shown = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert shown == ["a$b$", "…" + "x" * 20 + "end"]
    assert [axis.get_title() for axis in figure.axes[:2]] == ["image", "label"]


def test_names_are_written_as_they_are():
    """Matplotlib would take what lies between two dollars for a formula."""
    figure = figures.grid({"a$1$": [np.zeros((4, 4, 3), np.uint8)]}, ["$x$"], ["$5$"])
    texts = {text.get_text(): text.get_parse_math() for text in figure.findobj(Text)}
    assert [texts[name] for name in ("a$1$", "$x$", "$5$")] == [False] * 3


def test_letters_that_a_font_lacks_come_from_another(monkeypatch):
    letters = {"last.ttf": "猫犬", "han.ttf": "猫", "more.ttf": "犬猫"}
    names = {"last.ttf": "Last Resort", "han.ttf": "Han", "more.ttf": "More"}
    fonts = [SimpleNamespace(fname=file, name=name) for file, name in names.items()]
    monkeypatch.setattr(figures, "fontManager", SimpleNamespace(ttflist=fonts))
    monkeypatch.setattr(figures, "letters_of", lambda file: {*map(ord, letters.get(file, "ab"))})
    assert figures.families_for("ab\n") == ["DejaVu Sans"]
    assert figures.families_for("a猫") == ["DejaVu Sans", "Han"]
    assert figures.families_for("犬b猫") == ["DejaVu Sans", "Han", "More"]
    assert figures.families_for("a?") == ["DejaVu Sans"]  # no font has it


@pytest.mark.filterwarnings("error")
@pytest.mark.skipif(len(figures.families_for("猫")) == 1, reason="no font here has Chinese letters")
@pytest.mark.parametrize("figure_of", [figures.bars, figures.losses])
def test_figures_with_chinese_letters_warn_of_nothing(tmp_path, figure_of):
    scores = {"iou": 50.0, **dict.fromkeys(LOSSES, 12.5)}
    table = pd.DataFrame([{"stage": "cam", "split": "train", "class": c, **scores} for c in "猫犬"])
    figures.save(tmp_path / "a.png", figure_of(table))


def test_fonts_that_are_gone_have_no_letters():
    assert figures.letters_of("/gone.ttf") == frozenset()


def test_matplotlibs_own_font_has_latin_letters():
    assert {*map(ord, "aé")} < figures.letters_of(findfont("DejaVu Sans"))
