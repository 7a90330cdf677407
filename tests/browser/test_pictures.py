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
