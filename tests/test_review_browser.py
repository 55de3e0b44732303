"""The review page in a headless Chromium, from file://, on a wide and on a narrow screen."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Browser

from psa_core.datasets.index import ImageRow
from psa_core.delivery.review import page, pictures
from psa_core.evaluation.label_check import check

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
NAMES = ["<script>alert(1)</script>", "dog & cat"]
COUNT = 300
WORST = [f"i{number:03}" for number in range(COUNT)]  # by rising margin
WIDTHS = pytest.mark.parametrize("width", [1280, 390])


def label_of(number: int) -> np.ndarray:
    """Both classes; the first image is empty, the second lacks class 2."""
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 10:30] = 1
    labels[25:35, 30:50] = 2
    labels[labels > (0, 1, 2)[min(number, 2)]] = 0
    return labels


def write(folder: Path, decisions: dict[str, str], digest: str = "first") -> Path:
    rows, checks = [], []
    for number, image in enumerate(WORST):
        row = ImageRow(image, f"/data/{image} <b>.jpg", "", tuple(NAMES), (1, 2), 40, 60)
        margin = 0.2 + 0.5 * number / COUNT
        scores = np.array([0.5 + margin / 2, 0.5 - margin / 2, 0]).reshape(3, 1, 1)
        labels = label_of(number)
        pictures.write_pictures(folder, image, np.full((40, 60, 3), 120, np.uint8), labels)
        rows.append(row)
        checks.append(check(row, labels, scores))
    index = folder / "index.html"
    labels = dict.fromkeys(WORST, digest)
    others = {"labels": labels, "decisions": decisions, "corrected": []}
    page.write_page(index, rows, pd.concat(checks), NAMES, **others)
    return index


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("review"), {"i003": "accept", "gone": "exclude"})


@pytest.fixture
def browser(tmp_path):
    with Browser(tmp_path / "profile") as browser:
        yield browser


def decisions(browser: Browser) -> list[str]:
    """Rows of the table that the page would download."""
    return str(browser.value("table()")).splitlines()


def current(browser: Browser) -> str:
    return str(browser.value("images[current].id"))


def pixel(browser: Browser, x: int, y: int) -> list[int]:
    """Red, green, blue and alpha of the label's picture; it is not tainted by files."""
    code = f"[...element('label').getContext('2d').getImageData({x}, {y}, 1, 1).data]"
    return json.loads(json.dumps(browser.value(code)))


@WIDTHS
def test_nothing_is_wider_than_the_screen_and_names_are_text(browser, index, width):
    browser.open(index, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    elements = "document.querySelectorAll('main script, main b, select script')"
    assert browser.value(f"{elements}.length") == 0
    assert NAMES[0] in str(browser.value("document.querySelector('.card').textContent"))
    assert browser.value("cards[0].querySelector('.name').textContent") == "i000 <b>.jpg"
    browser.press("Enter")
    browser.wait("pixels")
    assert browser.value("document.querySelector('dialog').scrollWidth") <= width
    inside = "(box => box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight)"
    assert browser.value(f"{inside}(document.querySelector('.picture').getBoundingClientRect())")
    assert NAMES[1] in str(browser.value("element('classes').textContent"))
    assert browser.errors == []


def test_thumbnails_are_lazy_and_cards_come_in_chunks(browser, index):
    browser.open(index)
    assert browser.value("cards.length") < COUNT
    thumbnails = "[...document.querySelectorAll('.card img')]"
    assert browser.value(f"{thumbnails}.every(image => image.loading === 'lazy')")
    browser.wait("element('more').scrollIntoView() || cards.length === images.length")


def test_cards_fill_a_huge_screen(browser, index):
    browser.open(index, width=3840, height=6000)
    browser.wait("cards.length === images.length")


def test_worst_first_and_filters(browser, index):
    browser.open(index)
    assert browser.value("images.map(image => image.id)") == WORST

    def chosen(reason: str, class_index: int = 0) -> list[str]:
        browser.value(f"element('class').value = '{class_index}'")
        browser.value(f"element('reason').value = '{reason}'; filter()")
        return list(browser.value("images.map(image => image.id)"))

    assert chosen("empty") == ["i000"]
    assert chosen("flooded") == []
    assert "No image matches" in str(browser.value("element('more').textContent"))
    assert chosen("missing") == ["i001"]
    assert chosen("margin") == WORST[: COUNT // 10]
    assert chosen("suspicious") == WORST[: COUNT // 10]
    assert chosen("accept") == ["i003"]
    assert chosen("undecided", 2) == [i for i in WORST if i != "i003"]


@WIDTHS
def test_keys_decide_and_undo(browser, index, width):
    browser.open(index, width=width)
    before = ["image,decision", "gone,exclude", "i003,accept"]
    assert decisions(browser) == before
    browser.press("r", "ArrowRight", "x", "ArrowLeft", "a")  # i000; i002; back to i002 again
    assert decisions(browser) == [*before[:2], "i000,reject", "i002,accept", before[2]]
    assert current(browser) == "i003"
    browser.press("c")  # what was decided earlier
    assert decisions(browser) == [*before[:2], "i000,reject", "i002,accept"]
    browser.press("u", "u", "u")
    assert current(browser) == "i002"
    assert decisions(browser) == [*before[:2], "i000,reject", before[2]]
    browser.press("Enter", "x")  # in the large view
    browser.press("Escape")
    assert decisions(browser)[3] == "i002,exclude"
    assert browser.value("cards[2].dataset.decision") == "exclude"
    assert browser.errors == []


def test_arrows_go_by_rows(browser, index):
    browser.open(index, width=1280)
    browser.press("ArrowDown", "ArrowRight")
    columns = int(browser.value("columns()"))
    assert columns > 2
    assert current(browser) == WORST[columns + 1]
    browser.press("ArrowUp", "ArrowUp")
    assert current(browser) == WORST[0]


def test_decisions_are_kept_and_known_to_be_of_an_earlier_label(browser, tmp_path):
    index = write(tmp_path / "page", {})
    browser.open(index)
    browser.press("r")
    browser.open(index)
    assert decisions(browser) == ["image,decision", "i000,reject"]
    write(tmp_path / "page", {}, digest="second")
    browser.open(index)
    assert "label changed" in str(browser.value("cards[0].textContent"))
    assert "label changed" not in str(browser.value("cards[1].textContent"))


def test_the_label_over_the_photograph(browser, index):
    browser.open(index)
    browser.press("ArrowRight", "ArrowRight", "Enter")
    browser.wait("pixels && element('photograph').complete")
    assert browser.value("element('photograph').naturalWidth") == 60
    blue, orange = [86, 180, 233], [230, 159, 0]
    assert pixel(browser, 5, 5)[3] == 0
    assert pixel(browser, 10, 15) == [*blue, 255]  # outline
    assert pixel(browser, 20, 15)[3] == 115  # 45 per cent
    assert pixel(browser, 30, 30) == [*orange, 255]
    browser.value("element('outlined').click()")
    assert pixel(browser, 10, 15)[3] == 115
    browser.value("element('classes').querySelector('input').click()")
    assert pixel(browser, 20, 15)[3] == 0
    assert pixel(browser, 40, 30)[3] == 115
    browser.value("element('opacity').value = 100; draw()")
    assert pixel(browser, 40, 30) == [*orange, 255]
    assert browser.errors == []


def test_a_missing_label_file_is_named(browser, index):
    (index.parent / f"labels/{WORST[-1]}.js").unlink(missing_ok=True)
    browser.open(index)
    browser.value("select(images.length - 1); open()")
    browser.wait("!element('warning').hidden")
    assert f"labels/{WORST[-1]}.js is missing" in str(
        browser.value("element('warning').textContent")
    )
