"""An issuer of tokens on this machine: real keys, a real key server, and its faults."""

from __future__ import annotations

import functools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "rubydraw-test"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@functools.cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def ec_key(number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(kid: str, key: PrivateKey, **more: Any) -> dict[str, Any]:
    """The public half, as a key server has it."""
    public: Any = key.public_key()
    form = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**form.to_jwk(public, as_dict=True), "kid": kid, "use": "sig", **more}


class Issuer:
    """Signs tokens with the keys `rsa` and `ec`, and publishes them; `fault` is what its key server does instead."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.fault = ""
        self.fetches = 0
        self.release = threading.Event()
        self.published = [jwk("rsa", rsa_key(), alg="RS256"), jwk("ec", ec_key(), alg="ES256")]

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good token, with some changed, or left out where they are None."""
        good = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 600}
        return {name: value for name, value in (good | changed).items() if value is not None}

    def token(
        self, *, key: PrivateKey | None = None, headers: dict[str, Any] | None = None, alg: str = "RS256", **claims: Any
    ) -> str:
        """A token that is good but for what is said."""
        signer = key or (ec_key() if alg == "ES256" else rsa_key())
        named = {"kid": "ec" if alg == "ES256" else "rsa"} | (headers or {})
        return jwt.encode(self.claims(**claims), signer, alg, headers=named)

    def body(self) -> tuple[int, bytes]:
        keys = json.dumps({"keys": self.published}).encode()
        match self.fault:
            case "500":
                return 500, keys
            case "garbage":
                return 200, b"<html>"
            case "empty":
                return 200, b'{"keys": []}'
            case "no list":
                return 200, b'{"keys": {"kid": "rsa"}}'
            case "huge":
                return 200, json.dumps({"keys": self.published, "padding": "x" * 300_000}).encode()
            case "redirect":
                return 302, keys
            case "a secret":
                return 200, b'{"keys": [{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0", "alg": "HS256"}]}'
        return 200, keys


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer whose key server listens on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.fetches += 1
            if issuer.fault == "hang":
                issuer.release.wait(30)
                return
            status, body = issuer.body()
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{issuer.url}/elsewhere")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if issuer.fault == "drip":
                with suppress(OSError):
                    while not issuer.release.wait(0.1):
                        self.wfile.write(b" ")
            else:
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
