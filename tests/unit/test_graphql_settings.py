"""The settings of access: nobody is let in by mistake, all faults are named at once, and the worker needs none."""

from __future__ import annotations

import pytest
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.settings import BadSettings, Settings

CANARY = "c4n4ry-s3cr3t"
NEEDED = {"REDIS_URL": "redis://127.0.0.1:6379", "GEMINI_API_KEY": "k", "IMAGE_SIGNING_KEY": "k" * 32}
ISSUER = {"JWT_ISSUER": "https://i.example", "JWT_AUDIENCE": "app", "JWT_JWKS_URL": "https://i.example/keys"}


def refusal(env: dict[str, str]) -> str:
    with pytest.raises(BadSettings) as refused:
        GraphqlSettings.from_env(NEEDED | env)
    return str(refused.value)


@pytest.mark.parametrize("env", [{}, {"ACCESS": "required"}, {"ACCESS": "", "API_KEYS": ""}])
def test_access_is_required_unless_it_is_switched_off(env: dict[str, str]) -> None:
    """Without anybody who may call, the function does not start."""
    expected = "ACCESS is required, which needs API_KEYS or JWT_ISSUER (ACCESS=off lets anybody spend)"
    assert f"Settings that cannot be used: {expected}" == refusal(env)


@pytest.mark.parametrize("env", [{"ACCESS": "off"}, {"API_KEYS": "[]"}, ISSUER])
def test_one_word_on_who_may_call_is_enough(env: dict[str, str]) -> None:
    """Anybody, nobody yet, or the users of an issuer."""
    settings = GraphqlSettings.from_env(NEEDED | env)
    assert ("off" if "ACCESS" in env else "required") == settings.access


@pytest.mark.parametrize("access", ["Off", "false", "optional", " off"])
def test_access_is_off_by_one_word_alone(access: str) -> None:
    """Anything else is no start."""
    assert "ACCESS must be required or off" in refusal({"ACCESS": access})


def test_all_faults_are_named_at_once_and_no_value_is_shown() -> None:
    """Beside those of the other settings."""
    told = refusal({"LEASE_MS": CANARY, "API_KEYS": CANARY, "JWT_ISSUER": CANARY, "JWT_JWKS_URL": f"ftp://{CANARY}"})
    for name in ("LEASE_MS", "API_KEYS", "JWT_AUDIENCE is missing (JWT_ISSUER is set)", "JWT_JWKS_URL"):
        assert name in told
    assert CANARY not in told


@pytest.mark.parametrize("name", ["JWT_AUDIENCE", "JWT_JWKS_URL"])
def test_half_an_issuer_is_none(name: str) -> None:
    """The three belong together, and keys beside them do not make up for one."""
    assert f"{name} is missing (JWT_ISSUER is set)" in refusal(ISSUER | {name: "", "API_KEYS": "[]"})
    assert f"{name} is set, which also needs JWT_ISSUER" in refusal({name: ISSUER[name], "API_KEYS": "[]"})


@pytest.mark.parametrize(
    "url", ["http://i.example/keys", "http://127.0.0.1.i.example", "http://10.0.0.1/", "file:///keys", "keys", "//[x"]
)
def test_keys_are_fetched_over_tls(url: str) -> None:
    """Whoever can change them on the way could sign in as anybody; only this machine itself needs none."""
    assert "JWT_JWKS_URL must start with https://" in refusal(ISSUER | {"JWT_JWKS_URL": url})
    GraphqlSettings.from_env(NEEDED | ISSUER | {"JWT_JWKS_URL": "http://127.0.0.1:8000/keys"})


@pytest.mark.parametrize("url", ["https://i.example/k\u00e9ys", "https://i.example/a b", "https://i.example/a\nb"])
def test_an_address_of_keys_that_cannot_be_asked_is_refused(url: str) -> None:
    """Else every token would be answered 503; a line break at its end, as files have one, is not part of it."""
    told = "JWT_JWKS_URL must be one word of visible ASCII characters"
    assert f"Settings that cannot be used: {told}" == refusal(ISSUER | {"JWT_JWKS_URL": url})
    for right in ("https://i.example/keys", "https://i.example/keys/?p=a-policy"):
        settings = GraphqlSettings.from_env(NEEDED | ISSUER | {"JWT_JWKS_URL": f" {right}\n"})
        assert right == settings.jwt_jwks_url


def test_the_worker_knows_nothing_of_access() -> None:
    """It starts without these settings, and with bad ones."""
    assert Settings.from_env(NEEDED) == Settings.from_env(NEEDED | {"ACCESS": "x", "API_KEYS": "x", "JWT_ISSUER": "x"})


def test_no_key_shows_when_settings_are_printed() -> None:
    """Not even as its hash."""
    entry = f'[{{"name": "web", "sha256": "{"ab" * 32}"}}]'
    assert "abab" not in repr(GraphqlSettings.from_env(NEEDED | {"API_KEYS": entry}))


def test_where_access_is_required_pictures_are_signed() -> None:
    """By a key that nobody guesses; where anybody may call there need be none."""
    assert "IMAGE_SIGNING_KEY is missing (ACCESS is required)" in refusal({"API_KEYS": "[]", "IMAGE_SIGNING_KEY": ""})
    assert "" == GraphqlSettings.from_env(NEEDED | {"ACCESS": "off", "IMAGE_SIGNING_KEY": ""}).image_signing_key
    for access in ("off", "required"):
        short = {"API_KEYS": "[]", "ACCESS": access, "IMAGE_SIGNING_KEY": CANARY}
        assert "Settings that cannot be used: IMAGE_SIGNING_KEY must have at least 32 characters" == refusal(short)
    assert "k" * 32 not in repr(GraphqlSettings.from_env(NEEDED | {"ACCESS": "off"}))


def test_pictures_have_an_http_address() -> None:
    """Without a slash at its end."""
    settings = GraphqlSettings.from_env(NEEDED | {"ACCESS": "off", "PUBLIC_URL": "https://draw.example/"})
    assert "https://draw.example" == settings.public_url
    assert "PUBLIC_URL must start with http:// or https://" in refusal({"ACCESS": "off", "PUBLIC_URL": CANARY})
