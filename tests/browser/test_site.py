"""The pad's own server, over HTTP."""

from __future__ import annotations

import httpx2

from tests.browser.conftest import answers, running, wait_for
from tests.servers import free_port


def test_the_site_tells_its_endpoint_and_guards_its_page() -> None:
    """Every answer carries the policy, kept copies are asked about, and the endpoint is never kept."""
    port, endpoint = free_port(), "http://127.0.0.1:8080/graphql"
    url = f"http://127.0.0.1:{port}"
    with running(["emulator.site", "--port", str(port), "--endpoint", endpoint]):
        wait_for(lambda: answers(url))
        page = httpx2.get(url)
        again = httpx2.get(url, headers={"If-None-Match": page.headers["etag"]})
        config = httpx2.get(f"{url}/config.json")
        absent = httpx2.get(f"{url}/absent.js")
    assert (page.status_code, again.status_code, absent.status_code) == (200, 304, 404)
    assert config.json() == {"endpoint": endpoint}
    assert config.headers["cache-control"] == "no-store"
    for answer in (page, again, absent):
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
