"""How the page fares on small screens, in both themes, for those who do not see it, and on a slow line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulator.site import WEB
from tests.browser import hand
from tests.browser.conftest import Laptop, OpenPad

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
MAX_PAGE_BYTES = 67_000


def serious(page: Any) -> list[str]:
    """What axe finds that keeps people out."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [
        f"{rule['id']} at {rule['nodes'][0]['target']}" for rule in found if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_pad: OpenPad, laptop: Laptop, scheme: str) -> None:
    """Empty, waiting, done, failed and with the settings open, the page keeps nobody out."""
    if not AXE.exists():
        pytest.skip("axe-core is absent: run npm ci --prefix tests/browser")
    page = open_pad(color_scheme=scheme)
    assert serious(page) == []
    laptop.plays({"kind": "hold"}, {"kind": "refuse"})
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    page.locator("#doing", has_text="Drawing").wait_for()
    assert serious(page) == []
    laptop.release()
    hand.finished(page)
    assert serious(page) == []
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    hand.failed(page)
    assert serious(page) == []
    hand.press(page, "Settings")
    assert serious(page) == []


@pytest.mark.browser
def test_a_phone_has_room_for_everything(open_pad: OpenPad) -> None:
    """At 360 pixels nothing sticks out, targets are large enough, and the drawing comes into view by itself."""
    page = open_pad(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    hand.draw_anew(page)
    hand.press(page, "Improve now")
    hand.finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    hand.once(page, "document.querySelector('#stage').getBoundingClientRect().bottom <= innerHeight")
    sizes = page.evaluate(
        """() => [...document.querySelectorAll('button, label:has(input), .button')]
          .map((each) => each.getBoundingClientRect()).filter(({ width }) => width)
          .map(({ width, height }) => Math.min(width, height))"""
    )
    assert min(sizes) >= 24


@pytest.mark.browser
def test_a_failure_is_read_whole_on_the_smallest_phone(open_pad: OpenPad, laptop: Laptop) -> None:
    """At 320 pixels the sentence and both buttons are inside the frame, which grows with them."""
    said = "The endpoint says at some length what is wrong. " * 4 + "See https://endpoint.example/" + "a" * 60
    answer = {"data": {"improveSketch": None}, "errors": [{"message": said, "extensions": {"code": "INTERNAL"}}]}
    page = open_pad(
        lambda page: page.route(laptop.endpoint, lambda route: route.fulfill(json=answer)),
        viewport={"width": 320, "height": 640},
        has_touch=True,
        is_mobile=True,
    )
    hand.press(page, "watch me draw one")
    page.locator("#clear[aria-disabled=false]").wait_for()
    hand.press(page, "Improve now")
    assert hand.failed(page) == said
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    outside = page.evaluate(
        """() => {
          const frame = document.querySelector("#stage").getBoundingClientRect();
          return [...document.querySelectorAll(".failed > *, .failed button")].filter((each) => {
            const { top, bottom, left, right } = each.getBoundingClientRect();
            return top < frame.top || bottom > frame.bottom || left < frame.left || right > frame.right;
          }).map(({ id, className }) => id || className);
        }"""
    )
    assert outside == []


@pytest.mark.browser
def test_forced_colours_leave_the_pens_theirs(open_pad: OpenPad) -> None:
    """The system's colours replace the page's, but not those to draw with; an outline shows which one is taken."""
    page = open_pad(forced_colors="active")
    page.get_by_role("radio", name="Green").check()
    pens = page.evaluate(
        "[...document.querySelectorAll('#pens i')].map((pen) => getComputedStyle(pen).backgroundColor)"
    )
    assert len(set(pens)) == len(pens) == 8
    outlines = page.evaluate(
        """[...document.querySelectorAll('#pens input')].filter((input) =>
          getComputedStyle(input.nextElementSibling).outlineStyle !== 'none').map(({ ariaLabel }) => ariaLabel)"""
    )
    assert outlines == ["Green"]


@pytest.mark.browser
def test_the_keyboards_focus_stays_on_the_page(open_pad: OpenPad, laptop: Laptop) -> None:
    """A button that has done its work, or disappears, does not send whoever pressed it back to the start."""
    page = open_pad()

    def press_on(button: str) -> None:
        page.locator(f"#{button}").focus()
        page.keyboard.press("Enter")

    def focused() -> str:
        hand.inked(page)  # the browser moves the focus when it paints
        name: str = page.evaluate("document.activeElement.id")
        return name

    press_on("example")
    assert focused() == "now"
    page.reload()
    hand.draw(page)
    press_on("undo")
    press_on("undo")
    assert focused() == "undo"
    assert page.locator("#undo").get_attribute("aria-disabled") == "true"
    hand.draw_anew(page)
    press_on("clear")
    assert focused() == "clear"
    laptop.plays({"kind": "hold"})
    hand.draw(page)
    hand.press(page, "Improve now")
    page.locator("#doing", has_text="Drawing").wait_for()
    page.locator("#stop").focus()
    laptop.release()
    hand.finished(page)
    assert focused() == "panel-title"


@pytest.mark.browser
def test_the_first_paint_waits_for_no_script(open_pad: OpenPad) -> None:
    """What there is to see stands in the page itself: on a slow line it is seen before any script has come."""
    page, scripts = open_pad(), "**/*.js"
    held: list[Any] = []
    page.route(scripts, lambda route: held.append(route))
    page.reload(wait_until="commit")
    hand.once(page, "performance.getEntriesByName('first-contentful-paint').length")
    assert ["app.js"] == [route.request.url.rpartition("/")[2] for route in held]
    page.unroute(scripts)  # which lets it come


def test_the_page_is_small() -> None:
    """All files of the page together stay under 67 KB, before any compression."""
    assert sum(file.stat().st_size for file in WEB.iterdir()) < MAX_PAGE_BYTES
