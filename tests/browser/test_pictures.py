"""What the pad fetches to show a drawing: its bytes once, and nothing when it is seen again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser import hand
from tests.browser.conftest import OpenPad

pytestmark = pytest.mark.browser


class Traffic:
    """What Chromium took from its network, by kind: answers of the endpoint and pictures."""

    def __init__(self, page: Any) -> None:
        self.paths: dict[str, str] = {}
        self.cached: list[str] = []
        self.picture_bytes = 0
        self.received_bytes: dict[str, list[int]] = {"graphql": [], "images": []}
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.responseReceived", self._answered)
        session.on("Network.loadingFinished", self._finished)

    def _answered(self, event: Any) -> None:
        kind = event["response"]["url"].split("/")[3]
        if kind in self.received_bytes and event["type"] != "Preflight":
            self.paths[event["requestId"]] = kind
            if kind == "images":
                self.picture_bytes = int(event["response"]["headers"]["content-length"])
            if event["response"]["fromDiskCache"]:
                self.cached.append(event["requestId"])

    def _finished(self, event: Any) -> None:
        if kind := self.paths.get(event["requestId"]):
            size = 0 if event["requestId"] in self.cached else round(event["encodedDataLength"])
            self.received_bytes[kind].append(size)


def test_a_picture_is_fetched_once(open_pad: OpenPad) -> None:
    """No answer holds it in base64; asked for again it comes out of the browser, and after a reload too."""
    page = open_pad()
    traffic = Traffic(page)
    hand.draw_anew(page)
    for count in range(2):
        hand.press(page, "Improve now")
        page.locator("#strip li[data-state=done]").nth(count).wait_for()
    first, second = traffic.received_bytes["images"]
    assert traffic.picture_bytes <= first < traffic.picture_bytes + 1000
    assert 0 == second
    assert max(traffic.received_bytes["graphql"]) < 2000 < traffic.picture_bytes
    page.reload()
    page.locator("#strip li[data-state=done] button.pick").first.click()
    hand.finished(page)
    assert 2 == len(traffic.received_bytes["images"])


def test_text_goes_where_it_is_put(open_pad: OpenPad) -> None:
    """The text of a clipboard that also holds a picture goes into the hints; on the pad the picture counts."""
    page = open_pad()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
          const canvas = new OffscreenCanvas(80, 60);
          canvas.getContext("2d").fillRect(0, 0, 80, 60);
          const picture = await canvas.convertToBlob();
          const text = new Blob(["a house"], { type: "text/plain" });
          await navigator.clipboard.write([new ClipboardItem({ "text/plain": text, "image/png": picture })]);
        }"""
    )
    hand.press(page, "Settings")
    page.get_by_label("API key").focus()
    page.keyboard.press("Control+v")
    assert page.get_by_label("API key").input_value() == "a house"
    page.keyboard.press("Escape")
    page.get_by_label("Hints").focus()
    page.keyboard.press("Control+v")
    assert page.get_by_label("Hints").input_value() == "a house"
    page.locator("#paper").focus()
    page.keyboard.press("Control+v")
    hand.once(page, "document.querySelector('#undo').ariaDisabled === 'false'")
    hand.press(page, "Undo (Ctrl+Z)")
    assert page.locator("#undo").is_disabled()


@pytest.mark.parametrize(
    ("target", "of_files", "taken"),
    [("#hints", False, False), ("#hints", True, True), ("#paper", False, True), ("#paper", True, True)],
)
def test_text_may_be_dropped_into_the_hints(open_pad: OpenPad, target: str, of_files: bool, taken: bool) -> None:
    """A field takes text itself; a file is the pad's, and a link that misses the field does not leave the page."""
    page = open_pad()
    seen = page.evaluate(
        """async ([target, ofFiles]) => {
          const dataTransfer = new DataTransfer();
          if (ofFiles) {
            const canvas = new OffscreenCanvas(80, 60);
          canvas.getContext("2d").fillRect(0, 0, 80, 60);
          const picture = await canvas.convertToBlob();
            dataTransfer.items.add(new File([picture], "house.png", { type: picture.type }));
          } else dataTransfer.setData("text/plain", "a house");
          const told = (name) => {
            const event = new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true });
            document.querySelector(target).dispatchEvent(event);
            return [event.defaultPrevented, document.querySelector("#drop").matches(".over")];
          };
          return [told("dragover"), told("drop")];
        }""",
        [target, of_files],
    )
    assert seen == [[taken, of_files], [taken, False]]
    if of_files:
        hand.once(page, "document.querySelector('#undo').ariaDisabled === 'false'")
