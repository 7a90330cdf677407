"""The GraphQL endpoint: one operation out, its answer or one sentence back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from cli.contract import DRAWING, IMPROVE, Job, Payload, plain
from cli.failure import Exit, Failure

LOCAL = "http://127.0.0.1:8080/graphql"
"""That of `make run`, which is asked if no other is named."""
CONNECT_S = 10.0
QUICK_S = 15.0
"""The longest wait for a state; a healthy endpoint takes milliseconds."""
DRAWING_S = 180.0
"""The longest wait for a synchronous drawing; the service gives up after 150 s."""

Answered = TypeVar("Answered", bound=BaseModel)


class DocumentRefused(Failure):
    """The endpoint's schema does not know the fields that were asked for."""


class _Extensions(BaseModel):
    code: str | None = None
    retryable: bool = True


class _Error(BaseModel):
    message: str
    extensions: _Extensions = _Extensions()


class _Answer(BaseModel):
    data: dict[str, Any] | None = None
    errors: list[_Error] = []


class Endpoint:
    """One address, asked by POST; a key is sent as a bearer token."""

    def __init__(self, url: str, key: str = "") -> None:
        self.name = shown(url)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http, self._url, self._with_key = _client(self.name, headers), url, bool(key)

    def improve(self, sketch: Mapping[str, Any]) -> Payload:
        """Send a sketch; raise Failure unless a drawing or a request id comes back."""
        payload = self.ask(IMPROVE, {"input": sketch}, Payload, within_s=DRAWING_S)
        if payload.result or payload.request_id:
            return payload
        message = payload.errors[0] if payload.errors else "The service gave neither a drawing nor a reason."
        raise _of_problem(payload, message)

    def drawing(self, request_id: str) -> Job:
        """The state of a job and, once it is done, its drawing."""
        return self.ask(DRAWING, {"id": request_id}, Job)

    def close(self) -> None:
        self._http.close()

    def ask(
        self, query: str, variables: Mapping[str, Any], kind: type[Answered], *, within_s: float = QUICK_S
    ) -> Answered:
        """Send an operation that has one field and return that field; raise Failure."""
        with self.open(query, variables, "application/json", within_s) as response:
            response.read()
            return self.parse(response.content, kind, response)

    @contextmanager
    def open(
        self, query: str, variables: Mapping[str, Any], accept: str, silence_s: float
    ) -> Iterator[httpx2.Response]:
        """Yield the response once it begins; a connection that breaks before its end becomes a Failure."""
        timeout = httpx2.Timeout(silence_s, connect=CONNECT_S)
        body = {"query": query, "variables": variables}
        try:
            with self._http.stream(
                "POST", self._url, json=body, headers={"accept": accept}, timeout=timeout
            ) as response:
                yield response
        except (httpx2.ConnectError, httpx2.ConnectTimeout, UnicodeError):  # the last one: an impossible host name
            raise Failure(Exit.NO_ENDPOINT, f"Nothing answers at {self.name}; is it running?") from None
        except httpx2.TimeoutException:
            raise Failure(Exit.TRY_AGAIN, f"{self.name} did not answer within {silence_s:.0f} s.") from None
        except httpx2.HTTPError:
            raise Failure(
                Exit.NO_ENDPOINT, f"The connection to {self.name} broke off, or what answers there is not HTTP."
            ) from None

    def parse(self, body: bytes | str, kind: type[Answered], response: httpx2.Response) -> Answered:
        """Read the one field of an answer; raise Failure, or DocumentRefused."""
        try:
            answer = _Answer.model_validate_json(body)
            field = next(iter((answer.data or {}).values()), None)
            if field is not None:
                return kind.model_validate(field)
        except ValidationError:
            raise self._of_status(response, None) from None
        raise self._of_status(response, answer)

    def _of_status(self, response: httpx2.Response, answer: _Answer | None) -> Failure:
        status = response.status_code
        error = answer.errors[0] if answer and answer.errors else None
        said = plain(error.message) if error else ""
        if status == 401 and not self._with_key:
            return Failure(Exit.REFUSED, f"{self.name} requires a key; give it with --key or RUBYDRAW_KEY.")
        if status in (401, 403):
            return Failure(Exit.REFUSED, f"{self.name} does not accept this key.")
        if status == 413:
            return Failure(Exit.REFUSED, said or "The sketch is larger than the endpoint accepts.")
        if status == 429 or status >= 500:
            return Failure(Exit.TRY_AGAIN, said or f"{self.name} failed to answer (status {status}); try again.")
        if error is None or status in (404, 405):
            return Failure(Exit.NO_ENDPOINT, f"What answers at {self.name} is not the endpoint (status {status}).")
        if answer and answer.data is None and error.extensions.code is None:
            return DocumentRefused(Exit.REFUSED, f"The endpoint does not accept this request: {said}")
        return Failure(Exit.TRY_AGAIN if error.extensions.retryable else Exit.REFUSED, said)


def _client(url: str, headers: Mapping[str, str]) -> httpx2.Client:
    """Return a client that uses the environment's proxy and certificates; raise Failure if those are unusable."""
    address = httpx2.URL(url)
    # A proxy would look for the endpoint on its own machine.
    here = address.scheme == "http" and address.host in ("127.0.0.1", "::1", "localhost")
    try:
        return httpx2.Client(headers=headers, trust_env=not here)
    except OSError:
        sentence = "SSL_CERT_FILE and SSL_CERT_DIR must name certificates that can be read."
    except (ImportError, ValueError, httpx2.InvalidURL):
        sentence = "The environment's HTTP_PROXY, HTTPS_PROXY and ALL_PROXY must look like http://127.0.0.1:3128."
    raise Failure(Exit.USAGE, sentence)


def failed(job: Job) -> Failure:
    """The Failure for a job that ended without a drawing."""
    if job.status == "not_found":
        return Failure(Exit.UNKNOWN_ID, f"Job {plain(job.request_id)} is unknown, or no longer kept.")
    return _of_problem(job, job.error or "The job failed without a reason.")


def _of_problem(told: Payload | Job, message: str) -> Failure:
    problem = told.problem
    if problem is None:
        return Failure(Exit.TRY_AGAIN, message)
    return Failure(Exit.TRY_AGAIN if problem.retryable else Exit.REFUSED, problem.message, problem)


def shown(url: str) -> str:
    """The address without user, password and query; raise Failure if it is not an HTTP address."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Failure(Exit.USAGE, "The endpoint must look like http://127.0.0.1:8080/graphql or https://….")
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))
