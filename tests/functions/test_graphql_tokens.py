"""JSON Web Tokens against real keys: which are taken, and every known way to forge one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tests.functions.issuer import AUDIENCE, Issuer, ec_key, issuing, jwk, rsa_key
from tests.functions.tiny_graphql import key_set
from tests.functions.tiny_graphql import tokens as checks

Tokens = checks.Tokens
BadCredential = checks.BadCredential


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def tokens(issuer: Issuer) -> Tokens:
    return Tokens(issuer.url, AUDIENCE, key_set.KeySet(f"{issuer.url}/keys"))


def encoded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def crafted(header: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """A token as no library would make it."""
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(sign(signed.encode()))}"


def with_public_key_as_secret(issuer: Issuer) -> str:
    """The classic confusion: our verifying key is known to all, and HS256 would take it as its secret."""
    pem = rsa_key().public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    return crafted({"alg": "HS256", "kid": "rsa"}, issuer.claims(), lambda text: hmac.digest(pem, text, hashlib.sha256))


def tampered(issuer: Issuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{encoded(issuer.claims(sub='eve'))}.{signature}"


def now() -> int:
    return int(time.time())


FORGED: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda i: crafted({"alg": "none", "kid": "rsa"}, i.claims()),
    "alg NONE": lambda i: crafted({"alg": "NONE", "kid": "rsa"}, i.claims()),
    "no alg": lambda i: crafted({"kid": "rsa"}, i.claims()),
    "two algs": lambda i: crafted({"alg": "RS256,none", "kid": "rsa"}, i.claims()),
    "alg is a list": lambda i: crafted({"alg": ["RS256"], "kid": "rsa"}, i.claims()),
    "alg is an object": lambda i: crafted({"alg": {}, "kid": "rsa"}, i.claims()),
    "HS256 with the public key": with_public_key_as_secret,
    "RS512, which is not listed": lambda i: i.token(alg="RS512"),
    "PS256, which is not the key's": lambda i: i.token(alg="PS256"),
    "key of another kind": lambda i: i.token(alg="ES256", headers={"kid": "rsa"}),
    "signed by a stranger": lambda i: i.token(key=rsa_key(1)),
    "signed by a stranger who sends his key": lambda i: i.token(
        key=rsa_key(1), headers={"jwk": jwk("rsa", rsa_key(1)), "jku": f"{i.url}/evil", "x5u": f"{i.url}/evil"}
    ),
    "tampered": tampered,
    "no signature": lambda i: i.token().rpartition(".")[0] + ".",
    "padded beyond its end": lambda i: i.token() + "=" * 6,  # spellings of one token would be places in what is known
    "junk in the signature": lambda i: i.token() + "~~~~",
    "two parts": lambda i: i.token().rpartition(".")[0],
    "four parts": lambda i: i.token() + ".x",
    "no JSON": lambda i: "a.b.c",
    "deep JSON": lambda i: f"{encoded(b'[' * 5000)}.e30.e30",
    "header is a list": lambda i: f"{encoded([])}.e30.e30",
    "unknown critical header": lambda i: i.token(headers={"crit": ["x"], "x": 1}),
    "another issuer": lambda i: i.token(iss="https://other.example"),
    "issuer with a slash more": lambda i: i.token(iss=f"{i.url}/"),
    "another audience": lambda i: i.token(aud="other"),
    "other audiences": lambda i: i.token(aud=["other", AUDIENCE + "x"]),
    "expired beyond the leeway": lambda i: i.token(exp=now() - 62),
    "not yet": lambda i: i.token(nbf=now() + 65),
    "issued in the future": lambda i: i.token(iat=now() + 65),
    "exp is text": lambda i: i.token(exp="never"),
    "no exp": lambda i: i.token(exp=None),
    "no issuer": lambda i: i.token(iss=None),
    "no audience": lambda i: i.token(aud=None),
    "no subject": lambda i: i.token(sub=None),
    "empty subject": lambda i: i.token(sub=""),
    "subject with a line break": lambda i: i.token(sub="a\nb"),
    "subject not in ASCII": lambda i: i.token(sub="ädä"),
    "endless subject": lambda i: i.token(sub="a" * 256),
    "unknown kid": lambda i: i.token(headers={"kid": "other"}),
    "kid is a path": lambda i: i.token(headers={"kid": "../../../../dev/null"}),
    "kid is an address": lambda i: i.token(headers={"kid": f"{i.url}/evil"}),
    "kid is a query": lambda i: i.token(headers={"kid": "rsa' OR '1'='1"}),
    "kid of no key": lambda i: crafted({"alg": "RS256", "kid": ""}, i.claims()),
    "kid is a number": lambda i: crafted({"alg": "RS256", "kid": 1}, i.claims()),
    "kid is an object": lambda i: crafted({"alg": "RS256", "kid": {"a": 1}}, i.claims()),
    "no kid": lambda i: crafted({"alg": "RS256"}, i.claims()),
}


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
async def test_a_token_of_the_issuer_speaks_for_its_subject(tokens: Tokens, issuer: Issuer, alg: str) -> None:
    """By either algorithm, and also where the audience is one of several."""
    assert "ada" == await tokens.subject(issuer.token(alg=alg))
    assert "bo" == await tokens.subject(issuer.token(alg=alg, sub="bo", aud=["other", AUDIENCE], iat=now()))


@pytest.mark.parametrize(("claim", "from_now_s"), [("exp", -55), ("nbf", 55), ("iat", 55)])
async def test_clocks_may_differ_by_a_minute(tokens: Tokens, issuer: Issuer, claim: str, from_now_s: int) -> None:
    """The leeway holds for the end and for the beginning."""
    changed: dict[str, Any] = {claim: now() + from_now_s}
    assert "ada" == await tokens.subject(issuer.token(**changed))


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused(tokens: Tokens, issuer: Issuer, name: str) -> None:
    """Each of them, and nothing but the key set is ever fetched for it."""
    await tokens.subject(issuer.token())
    with pytest.raises(BadCredential):
        await tokens.subject(FORGED[name](issuer))
    assert issuer.fetches <= 1


async def test_a_token_without_a_listed_algorithm_costs_no_fetch(tokens: Tokens, issuer: Issuer) -> None:
    """It is refused before any key is needed."""
    with pytest.raises(BadCredential):
        await tokens.subject(FORGED["alg none"](issuer))
    assert 0 == issuer.fetches


async def test_a_weak_key_is_none(tokens: Tokens, issuer: Issuer) -> None:
    """RSA below 2048 bits can be broken, whoever published it."""
    issuer.published.append(jwk("weak", rsa_key(bits=1024)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
        weak = issuer.token(key=rsa_key(bits=1024), headers={"kid": "weak"})
    with pytest.raises(BadCredential):
        await tokens.subject(weak)


async def test_keys_for_anything_else_do_not_count(tokens: Tokens, issuer: Issuer) -> None:
    """A shared secret in the key set, a key for encryption, for no algorithm, without an id: none of them signs."""
    secret = {"kty": "oct", "kid": "secret", "k": encoded(b"s" * 32), "alg": "HS256"}
    nameless = {name: value for name, value in jwk("x", rsa_key()).items() if name != "kid"}
    issuer.published += [
        secret,
        jwk("none", rsa_key(), alg="none"),
        jwk("enc", ec_key(), use="enc"),
        nameless,
        {**nameless, "kid": ["x"]},
        {"kty": "EC", "kid": "half"},
    ]
    hs256 = crafted(
        {"alg": "HS256", "kid": "secret"}, issuer.claims(), lambda text: hmac.digest(b"s" * 32, text, hashlib.sha256)
    )
    for token in (hs256, issuer.token(alg="ES256", headers={"kid": "enc"}), issuer.token(headers={"kid": "half"})):
        with pytest.raises(BadCredential):
            await tokens.subject(token)
    assert "ada" == await tokens.subject(issuer.token())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each token whose signature PyJWT was asked to check."""
    seen: list[str] = []
    decode = jwt.decode

    def noted(token: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(token)
        return decode(token, *args, **kwargs)

    monkeypatch.setattr(jwt, "decode", noted)
    return seen


async def test_a_token_is_checked_once(
    tokens: Tokens, issuer: Issuer, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is known, but only the very same one, and no more than so many."""
    monkeypatch.setattr(checks, "REMEMBERED", 2)
    one, two, three = (issuer.token(sub=subject) for subject in ("one", "two", "three"))
    assert ["one", "two", "one", "two"] == [await tokens.subject(token) for token in (one, two, one, two)]
    assert [one, two] == decoded
    assert ["three", "two", "one"] == [await tokens.subject(token) for token in (three, two, one)]
    assert [one, two, three, one] == decoded


async def test_a_known_token_ends_all_the_same(issuer: Issuer, decoded: list[str]) -> None:
    """With its time it is checked again, and with the key that signed it."""
    at = {"clock_s": time.time(), "key_set_s": 1000.0}
    keys = key_set.KeySet(f"{issuer.url}/keys", clock=lambda: at["key_set_s"])
    tokens = Tokens(issuer.url, AUDIENCE, keys, clock=lambda: at["clock_s"])
    short, long = issuer.token(sub="short", exp=now() + 60), issuer.token(sub="long")
    for _ in range(2):
        assert ["short", "long"] == [await tokens.subject(short), await tokens.subject(long)]
    assert [short, long] == decoded
    at["clock_s"] += 125
    assert ["short", "long"] == [await tokens.subject(short), await tokens.subject(long)]
    assert [short, long, short] == decoded
    issuer.published = [jwk("rsa", rsa_key(1))]
    at["key_set_s"] += key_set.STALE_S
    with pytest.raises(BadCredential):
        await tokens.subject(long)
