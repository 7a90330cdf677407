"""What a person does at the pad, and what they look at."""

from __future__ import annotations

import time
import uuid
from typing import Any

Page = Any


def draw(page: Page, shift_px: int = 0) -> None:
    """A roof and a wall, two strokes with the mouse."""
    box = page.locator("#paper").bounding_box()
    for corners in ([(60, 200), (160, 80), (260, 200)], [(80, 200), (80, 300), (240, 300), (240, 200)]):
        (x, y), *rest = [(box["x"] + shift_px + x, box["y"] + y) for x, y in corners]
        page.mouse.move(x, y)
        page.mouse.down()
        for x, y in rest:
            page.mouse.move(x, y, steps=6)
        page.mouse.up()


def draw_anew(page: Page) -> None:
    """A sketch that nobody sent before: the hint is part of what makes it the same one."""
    draw(page)
    page.get_by_label("Hints").fill(f"House {uuid.uuid4()}")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def under_way(page: Page, laptop: Any, button: str = "Improve now") -> None:
    """A new sketch that is being drawn, until the laptop releases it."""
    laptop.plays({"kind": "hold"})
    draw_anew(page)
    press(page, button)
    page.locator("#doing", has_text="Drawing").wait_for()


def another_tab(page: Page, laptop: Any) -> Page:
    other = page.context.new_page()
    other.goto(laptop.pad)
    return other


def once(page: Page, expression: str) -> Any:
    """The first value of `expression` that is not falsy; it is looked at in every frame, for 20 s.

    `Page.wait_for_function` hands the text to `eval` again in every frame, which the page's content
    security policy forbids: it succeeds only where the very first look does.
    """
    return page.evaluate(
        f"""() => new Promise((resolve, reject) => {{
          const end = performance.now() + 20_000;
          const look = () => {{
            const value = ({expression});
            if (value) resolve(value);
            else if (performance.now() > end) reject(new Error('not within 20 s'));
            else requestAnimationFrame(look);
          }};
          look();
        }})"""
    )


def finished(page: Page) -> str:
    """The title of the drawing, once it is there and its pixels have been read."""
    page.locator("#panel[data-state=done]").wait_for()
    once(page, "document.querySelector('.after').naturalWidth > 0")
    title: str = page.locator("#title").inner_text()
    return title


def failed(page: Page) -> str:
    page.locator("#panel[data-state=error]").wait_for()
    sentence: str = page.locator("#sorry").inner_text()
    return sentence


def origin(page: Page) -> str:
    text: str = page.locator("#origin").inner_text()
    return text


def inked(page: Page) -> int:
    """How many pixels of the pad are not empty, once what was asked for is painted."""
    count: int = page.evaluate(
        """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
          const { width, height } = document.querySelector('#paper');
          const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
          copy.drawImage(document.querySelector('#paper'), 0, 0);
          const { data } = copy.getImageData(0, 0, width, height);
          resolve(data.filter((value, i) => i % 4 === 3 && value > 0).length);
        })))"""
    )
    return count


def until_more_is_inked(page: Page, pixels: int) -> None:
    """Wait until more than so many are not empty: an image that is loaded lies on the pad some time later."""
    end_s = time.monotonic() + 20
    while inked(page) <= pixels:
        assert time.monotonic() < end_s, "nothing came onto the pad"
