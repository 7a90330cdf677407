"""The pad itself: mouse, touch, pen and keyboard, and the way back."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import hand
from tests.browser.conftest import OpenPad

pytestmark = pytest.mark.browser

# The smallest PNG there is, white; the pad enlarges it.
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def test_undo_redo_and_clear_move_along_what_was_done(open_pad: OpenPad) -> None:
    """Each step back and forth shows the pad as it was then."""
    page = open_pad()
    hand.draw(page)
    both = hand.inked(page)
    hand.press(page, "Undo (Ctrl+Z)")
    one = hand.inked(page)
    assert 0 < one < both
    hand.press(page, "Redo (Ctrl+Shift+Z)")
    assert hand.inked(page) == both
    hand.press(page, "Clear the pad")
    assert hand.inked(page) == 0
    page.keyboard.press("Control+z")
    assert hand.inked(page) == both


def test_an_empty_pad_is_not_sent(open_pad: OpenPad) -> None:
    """With nothing drawn, or nothing but rubbing out, the page asks for a drawing until there is one."""
    page = open_pad()
    page.get_by_role("radio", name="Eraser").check()
    hand.draw(page)
    hand.press(page, "Improve now")
    asked = page.locator("#ask-note", has_text="Draw something first, or load an image.")
    asked.wait_for()
    page.get_by_role("radio", name="Ink").check()
    hand.draw(page)
    asked.wait_for(state="detached")


def test_a_file_that_is_no_image_is_refused_by_name(open_pad: OpenPad) -> None:
    """A wrong file is a sentence with its name in it, and the drawing stays."""
    page = open_pad()
    hand.draw(page)
    before = hand.inked(page)
    page.locator("#file").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    page.get_by_text("“notes.txt” is not an image").wait_for()
    assert hand.inked(page) == before


def test_the_keyboard_alone_is_enough(open_pad: OpenPad) -> None:
    """Tab, arrows, space and enter draw a corner, send it, look at both sides and leave the settings again."""
    page = open_pad()
    press = page.keyboard.press
    for _ in range(10):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "paper":
            break
    press("Space")
    for key in ["Shift+ArrowRight"] * 6 + ["Shift+ArrowDown"] * 6:
        press(key)
    press("Space")
    assert hand.inked(page) > 500
    press("Control+Enter")
    hand.finished(page)
    page.locator("#compare input").focus()
    press("End")
    assert page.locator("#compare").get_attribute("style") == "--border: 100%;"
    page.get_by_role("button", name="Settings").focus()
    press("Enter")
    assert page.get_by_role("dialog").is_visible()
    press("Escape")
    assert page.evaluate("document.activeElement.id") == "open-settings"


def test_a_pen_presses_and_a_finger_draws(open_pad: OpenPad) -> None:
    """A pen's pressure changes the width of its line; a finger draws as a mouse does."""
    page = open_pad(has_touch=True)
    box = page.locator("#paper").bounding_box()
    devtools = page.context.new_cdp_session(page)

    def pen(kind: str, x: int, force: float) -> None:
        at = {"x": box["x"] + x, "y": box["y"] + 100, "button": "left", "buttons": 1}
        event = {"type": kind, "pointerType": "pen", "force": force, "clickCount": 1, **at}
        devtools.send("Input.dispatchMouseEvent", event)

    pen("mousePressed", 50, 0.1)
    for x in range(60, 300, 10):
        pen("mouseMoved", x, x / 300)
    pen("mouseReleased", 300, 1)
    by_pen = hand.inked(page)
    assert by_pen > 500
    points = [{"x": box["x"] + x, "y": box["y"] + 300} for x in range(50, 300, 10)]
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[:1]})
    for point in points[1:]:
        devtools.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert hand.inked(page) > by_pen + 500
    page.get_by_label("Hints").fill("pressure")
    with page.expect_request("**/graphql") as request:
        hand.press(page, "Improve now")
    assert request.value.post_data_json["variables"]["input"]["svg"].count("<path") > 5
    hand.finished(page)


def test_a_second_finger_ends_no_stroke(open_pad: OpenPad) -> None:
    """What touches the pad beside the finger that draws, and leaves it again, changes nothing."""
    page = open_pad(has_touch=True)
    box = page.locator("#paper").bounding_box()
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[int, int, int]) -> None:
        at = [{"id": finger, "x": box["x"] + x, "y": box["y"] + y} for finger, x, y in points]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", (0, 50, 50))
    touch("touchMove", (0, 150, 50))
    touch("touchStart", (0, 150, 50), (1, 200, 250))
    touch("touchEnd", (1, 200, 250))
    before = hand.inked(page)
    assert before > 0
    touch("touchMove", (0, 250, 50))
    touch("touchMove", (0, 350, 50))
    touch("touchEnd")
    assert hand.inked(page) > before + 500
    assert strokes_sent(page, lambda: page.keyboard.press("Control+Enter")).count("<path") == 1


def strokes_sent(page: Any, how: Callable[[], None]) -> str:
    """The SVG that goes out; what it is answered plays no part."""
    page.route("**/graphql", lambda route: route.fulfill(status=404))
    with page.expect_request("**/graphql") as request:
        how()
    svg: str = request.value.post_data_json["variables"]["input"]["svg"]
    return svg


def test_a_stroke_is_sent_before_the_pen_is_lifted(open_pad: OpenPad) -> None:
    """What is seen is sent: a line of the keyboard's pen, and one of a mouse whose button is still down."""
    page = open_pad()
    page.locator("#paper").focus()
    for key in ("Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert strokes_sent(page, lambda: page.keyboard.press("Control+Enter")).count("<path") == 1
    box = page.locator("#paper").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 90, steps=6)
    assert strokes_sent(page, lambda: page.keyboard.press("Control+Enter")).count("<path") == 2


def test_keys_of_the_browser_stay_its_own_and_space_may_be_held(open_pad: OpenPad) -> None:
    """Alt+Left is not the pad's; a held Space lowers the pen once."""
    page = open_pad()
    page.evaluate("addEventListener('keydown', (event) => (window.cancelled = event.defaultPrevented))")
    page.locator("#paper").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("cancelled")
    for modifier in ("Alt", "Control", "Meta"):
        page.evaluate(
            """(modifier) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown",
              { key: "ArrowLeft", [modifier]: true, bubbles: true, cancelable: true }))""",
            f"{modifier.lower().replace('control', 'ctrl')}Key",
        )
        assert not page.evaluate("cancelled")
    for _ in range(3):
        page.keyboard.down("Space")  # again, without an up between: a repeat
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.up("Space")
    assert strokes_sent(page, lambda: page.keyboard.press("Control+Enter")).count("<path") == 1


def test_who_draws_ends_the_example(open_pad: OpenPad) -> None:
    """A stroke that is drawn over the example's stays."""
    page = open_pad()
    page.get_by_role("radio", name="Green").check()
    hand.press(page, "watch me draw one")
    page.locator("#invite").wait_for(state="hidden")
    hand.draw(page)
    assert strokes_sent(page, lambda: page.keyboard.press("Control+Enter")).count("#2f8f4e") == 2


def begin_the_example(page: Any) -> None:
    hand.press(page, "watch me draw one")
    page.locator("#clear[aria-disabled=false]").wait_for()


def test_clear_ends_the_example(open_pad: OpenPad) -> None:
    """What was being drawn is cleared with the rest, and nothing follows."""
    page = open_pad()
    begin_the_example(page)
    hand.press(page, "Clear the pad")
    assert hand.inked(page) == 0
    page.get_by_text("Draw something rough").wait_for()


def test_an_earlier_sketch_ends_the_example(open_pad: OpenPad) -> None:
    """The sketch to be edited comes back as it was sent."""
    page = open_pad()
    hand.draw(page)
    assert strokes_sent(page, lambda: hand.press(page, "Improve now")).count("<path") == 2
    hand.failed(page)
    hand.press(page, "Clear the pad")
    begin_the_example(page)
    hand.press(page, "Edit this sketch")
    assert strokes_sent(page, lambda: page.keyboard.press("Control+Enter")).count("<path") == 2


def test_a_loaded_image_ends_the_example(open_pad: OpenPad) -> None:
    """It is the last mark: undo takes it away."""
    page = open_pad()
    begin_the_example(page)
    half = page.evaluate("document.querySelector('#paper').width * document.querySelector('#paper').height / 2")
    image = {"name": "pixel.png", "mimeType": "image/png", "buffer": PIXEL}
    page.locator("#file").set_input_files(image)
    hand.until_more_is_inked(page, half)
    hand.press(page, "Undo (Ctrl+Z)")
    assert hand.inked(page) < half


def test_a_large_image_is_kept_no_larger_than_it_lies_on_the_pad(open_pad: OpenPad) -> None:
    """Undo keeps each one: a photograph takes 46 MiB for twelve megapixels."""
    page = open_pad()
    sides = page.evaluate(
        """async () => {
          const { imageIn } = await import('./pictures.js');
          const sides = [];
          for (const [width, height] of [[4000, 3000], [100, 4000], [40, 30]]) {
            const canvas = new OffscreenCanvas(width, height);
            canvas.getContext('2d').fillRect(0, 0, 1, 1);
            const image = await imageIn(await canvas.convertToBlob(), { width: 1024, height: 768 });
            sides.push([image.width, image.height]);
          }
          return sides;
        }"""
    )
    assert [[1024, 768], [19, 768], [40, 30]] == sides


def test_a_screen_with_more_pixels_is_used(open_pad: OpenPad) -> None:
    """Nothing else changes when a window is moved there."""
    page = open_pad()
    size = "((pad) => [pad.width / pad.clientWidth, devicePixelRatio])(document.querySelector('#paper'))"
    assert [1, 1] == page.evaluate(size)
    metrics = {"width": 0, "height": 0, "deviceScaleFactor": 2, "mobile": False}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", metrics)
    hand.once(page, f"{size}.every((each) => each === 2)")
