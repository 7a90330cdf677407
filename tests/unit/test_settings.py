"""The settings: defaults of the design, every bad variable named at once, and never a value shown."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rubydraw.graphql_settings import GraphqlSettings
from rubydraw.redis.address import RedisAddress
from rubydraw.settings import BadSettings, Settings

NEEDED = {"REDIS_URL": "redis://127.0.0.1:6379", "GEMINI_API_KEY": "k"}
NAMES = {field.name.upper() for field in fields(Settings)}
CANARY = "c4n4ry-s3cr3t"
BAD = {
    "REDIS_URL": CANARY,
    "CACHE_REDIS_URL": f"http://:{CANARY}@x",
    "PUBSUB_URL": f"ftp://{CANARY}",
    "PUBSUB_TOPIC": CANARY,
    "DEAD_LETTER_TOPIC": f"projects/p/topics/{CANARY}/x",
    "ARCHIVE_URL": f"gs://bucket/../{CANARY}",
    "ARCHIVE_ENDPOINT": CANARY,
    "GEMINI_MODE": CANARY,
    "GEMINI_BASE_URL": CANARY,
    "GEMINI_TIMEOUT_S": CANARY,
    "SYNC_DEADLINE_S": "0",
    "WORK_DEADLINE_S": "nan",
    "LEASE_MS": "99",
    "HEARTBEAT_MS": "1.5",
    "MAX_ATTEMPTS": "0",
    "JOB_MAX_AGE_S": "-1",
    "PUBLISH_TIMEOUT_S": "inf",
    "MAX_PNG_BYTES": str(7 * 1024 * 1024),
    "MAX_IN_FLIGHT": CANARY,
    "LOCAL_ALLOWANCE_PER_MINUTE": "-1",
    "DAILY_CALLS": "none",
    "DAILY_DOLLARS": "-0.5",
    "PRINCIPAL_DAILY_CALLS": "1.5",
    "PRINCIPAL_DAILY_DOLLARS": "Unlimited",
    "CALL_DOLLARS": "unlimited",
    "INPUT_DOLLARS_PER_MILLION": "nan",
    "OUTPUT_DOLLARS_PER_MILLION": CANARY,
    "REQUESTS_PER_MINUTE": "no",
    "CONCURRENT_JOBS": "-1",
    "TRUSTED_PROXIES": "11",
    "CORS_ORIGINS": f"https://{CANARY}.example,*",
    "INTROSPECTION": CANARY,
    "LOG_LEVEL": CANARY,
}


def refusal(env: dict[str, str]) -> str:
    with pytest.raises(BadSettings) as refused:
        Settings.from_env(env)
    return str(refused.value)


def test_defaults_are_those_of_the_design() -> None:
    """A deployment that sets nothing else has the times and limits that the design gives."""
    settings = Settings.from_env(NEEDED)
    expected = {
        "cache_redis_url": "",
        "pubsub_url": "https://pubsub.googleapis.com",
        "gemini_mode": "api",
        "gemini_base_url": "",
        "gemini_model": "gemini-3.1-flash-image",
        "gemini_timeout_s": 120,
        "sync_deadline_s": 150,
        "work_deadline_s": 180,
        "lease_ms": 30_000,
        "heartbeat_ms": 10_000,
        "max_attempts": 3,
        "job_max_age_s": 3600,
        "publish_timeout_s": 8,
        "max_png_bytes": 5 * 1024 * 1024,
        "daily_calls": 500,
        "daily_dollars": 50,
        "principal_daily_calls": 100,
        "principal_daily_dollars": 10,
        "requests_per_minute": 60,
        "concurrent_jobs": 20,
        "trusted_proxies": 1,
        "cors_origins": (),
        "introspection": False,
    }
    assert expected == {name: getattr(settings, name) for name in expected}


CEILINGS = [name for name in sorted(NAMES) if name.startswith(("DAILY", "PRINCIPAL", "REQUESTS", "CONCURRENT"))]


@pytest.mark.parametrize("name", CEILINGS)
def test_no_ceiling_is_said_in_words(name: str) -> None:
    """`unlimited` takes a ceiling away; 0 is one that lets nothing through."""
    ceilings = [getattr(Settings.from_env(NEEDED | {name: text}), name.lower()) for text in ("unlimited", "0", "7")]
    assert [None, 0, 7] == ceilings


@pytest.mark.parametrize("name", sorted(NAMES - NEEDED.keys()))
def test_an_empty_variable_means_its_default(name: str) -> None:
    """As Terraform and shells leave them."""
    assert Settings.from_env(NEEDED) == Settings.from_env(NEEDED | {name: ""})


def test_values_are_read_from_text() -> None:
    """Numbers, booleans and lists, as an environment has them."""
    env = {"LEASE_MS": "600", "HEARTBEAT_MS": "200", "GEMINI_TIMEOUT_S": "2.5", "INTROSPECTION": "true"}
    settings = Settings.from_env(NEEDED | env | {"CORS_ORIGINS": " https://a.example , http://localhost:3000,"})
    assert (
        settings.lease_ms,
        settings.heartbeat_ms,
        settings.gemini_timeout_s,
        settings.introspection,
    ) == (600, 200, 2.5, True)
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("1", True), ("False", False), ("off", False)])
def test_a_switch_is_said_in_common_words(text: str, expected: bool) -> None:
    """As Terraform, a shell or a person writes it."""
    assert expected is Settings.from_env(NEEDED | {"INTROSPECTION": text}).introspection


TOPIC_FORM = (
    "must look like projects/P/topics/T, where T is 3 to 255 letters, digits and -._~+%, beginning with a letter"
)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("LEASE_MS", "soon", "must be a whole number from 100 to 600,000"),
        ("MAX_PNG_BYTES", "6700001", "must be a whole number from 1,024 to 6,700,000"),
        ("CALL_DOLLARS", "-0.01", "must be a number from 0 to 10,000"),
        ("GEMINI_TIMEOUT_S", "0", "must be a number above 0, up to 3,600"),
        ("DAILY_CALLS", "none", "must be a whole number from 0 to 1,000,000,000, or unlimited"),
        ("INTROSPECTION", "maybe", "must be true or false"),
        ("LOG_LEVEL", "info", "must be DEBUG, INFO, WARNING or ERROR"),
        ("PUBSUB_TOPIC", "jobs", TOPIC_FORM),
    ],
)
def test_a_refusal_says_what_is_allowed(name: str, text: str, told: str) -> None:
    """One clear sentence for each variable."""
    assert f"Settings that cannot be used: {name} {told}" == refusal(NEEDED | {name: text})


@pytest.mark.parametrize("name", ["PUBSUB_TOPIC", "DEAD_LETTER_TOPIC"])
@pytest.mark.parametrize(
    "topic",
    [
        *(
            f"projects/p/topics/{topic}"
            for topic in ("\u00e9tude", "job\u0661", "jobs?a", "jobs#a", "a b", "a/jobs", "jobs\n")
        ),
        *(f"projects/p/topics/{topic}" for topic in ("", "ab", "1st", "a" * 256)),
        *(f"projects/{project}/topics/jobs" for project in ("", "\u00e9", "p?", "p/q")),
    ],
)
def test_a_topic_that_pubsub_cannot_have_is_refused(name: str, topic: str) -> None:
    """At the start: no address can be made of some, and each publish to the others would fail."""
    assert f"Settings that cannot be used: {name} {TOPIC_FORM}" == refusal(NEEDED | {name: topic})


@pytest.mark.parametrize(
    "topic",
    [
        *("projects/laptop/topics/abc", "projects/example.com:draw/topics/jobs", "projects/123456789012/topics/jobs"),
        f"projects/p-1/topics/A-._~+%{'9' * 248}",
    ],
)
def test_a_topic_is_named_as_google_allows(topic: str) -> None:
    """From 3 to 255 characters, in a project of whatever kind."""
    assert topic == Settings.from_env(NEEDED | {"PUBSUB_TOPIC": topic}).pubsub_topic


REDIS_FORM = "must look like redis://user:password@host:6379/0, with a percent-encoded password (%23 for #, %2F for /)"
REDIS_OPTIONS = "allows only these options after a ?: client_name, db, password, username"
HTTP_FORM = "must look like https://host, optionally with a port from 1 to 65,535 and a path"


@pytest.mark.parametrize("name", ["REDIS_URL", "CACHE_REDIS_URL"])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        *((f"redis://{CANARY}:{port}/0", REDIS_FORM) for port in ("nan", "99999", "0", "-1")),
        *((f"redis://:{CANARY}{sign}0@x:6379/0", REDIS_FORM) for sign in "#/?["),
        *((f"redis://:12{sign}{CANARY}@x:6379/0", REDIS_FORM) for sign in "#/"),
        *((f"redis://{host}/0", REDIS_FORM) for host in ("[::1", "a b", "a..b", "1.2.3.456", "x" * 64, "\udcff")),
        ("redis://x/jobs", REDIS_FORM),
        *((f"redis://x?{option}", REDIS_OPTIONS) for option in (f"foo={CANARY}", "db=x", "socket_timeout=x", "db")),
        ("redis://x?ssl_check_hostname=false", REDIS_OPTIONS),
        (
            "rediss://x?ssl_cert_reqs=off",
            f"{REDIS_OPTIONS}, ssl_ca_certs, ssl_cert_reqs, ssl_check_hostname, with values",
        ),
    ],
)
def test_an_address_that_redis_py_cannot_read_is_refused(name: str, text: str, told: str) -> None:
    """At the start and not by each request, and no part of it is shown: the password might be there."""
    said = refusal(NEEDED | {name: text})
    assert f"Settings that cannot be used: {name} {told}" in said
    assert CANARY not in said


@given(
    st.sampled_from(["redis", "rediss"]),
    st.lists(
        st.sampled_from([*":@/#?[]&=%. \n\u00e9", "::1", "%2F", "db=1", "ssl_check_hostname=no", "a", "7", "99999"]),
        max_size=9,
    ),
)
def test_an_address_that_is_taken_can_be_connected_to(scheme: str, parts: list[str]) -> None:
    """What is left is whether somebody answers there."""
    try:
        taken = Settings.from_env(NEEDED | {"REDIS_URL": f"{scheme}://{''.join(parts)}"})
    except BadSettings:
        return
    assert RedisAddress(taken.redis_url, "").unopened()


@pytest.mark.parametrize(
    "text",
    [
        *("redis://", "redis://:6380", "redis://me@x/3", "redis://[::1]:6379/0", "redis://a_b.example.:6379"),
        *(f"redis://:{CANARY}%2F%23@x/?db=2&client_name=a", f"redis://:p\u00e4ss{CANARY}@x", "redis://x/0\n"),
        "rediss://:s@10.0.0.3:6378/0?ssl_check_hostname=false",
    ],
)
def test_addresses_of_redis_have_many_forms(text: str) -> None:
    """No host is this machine, and what surrounds an address in a file is not part of it."""
    assert text.strip() == Settings.from_env(NEEDED | {"REDIS_URL": text}).redis_url


@pytest.mark.parametrize("name", ["PUBSUB_URL", "GEMINI_BASE_URL", "ARCHIVE_ENDPOINT"])
@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http://[::1",
        "http://x:99999",
        "http://x:0",
        "http://a b",
        "https:///v1",
        "http://x/?k#v",
        "http://\u00e9",
        "http://a..b",
        f"http://{'a' * 64}.test",
    ],
)
def test_an_address_without_host_or_port_is_refused(name: str, text: str) -> None:
    """Nothing could be asked there."""
    assert f"Settings that cannot be used: {name} {HTTP_FORM}" == refusal(NEEDED | {name: text})
    assert "http://[::1]:80/v1" == getattr(Settings.from_env(NEEDED | {name: "http://[::1]:80/v1/\n"}), name.lower())


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE", "GEMINI_MODEL", "GEMINI_PROJECT", "GEMINI_LOCATION"])
def test_a_name_ends_before_its_line_break(name: str) -> None:
    """Else no token would have that issuer, say, and nobody could see why."""
    tokens = {"JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "JWT_JWKS_URL": "https://x/jwks", "ACCESS": "off"}
    assert "name" == getattr(GraphqlSettings.from_env(NEEDED | tokens | {name: "name\n"}), name.lower())


@pytest.mark.parametrize("key", ["\u2026", "l\u00e4ptop", f"{CANARY}\nx", f"{CANARY} x", "\udcff", "\x7f"])
def test_a_key_that_no_header_can_hold_is_refused(key: str) -> None:
    """Each call would fail; a line break at its end, as files have one, is not part of it."""
    told = "GEMINI_API_KEY must be one word of visible ASCII characters"
    assert f"Settings that cannot be used: {told}" == refusal(NEEDED | {"GEMINI_API_KEY": key})
    assert CANARY == Settings.from_env(NEEDED | {"GEMINI_API_KEY": f" {CANARY}\n"}).gemini_api_key
    assert "GEMINI_API_KEY is missing" in refusal(NEEDED | {"GEMINI_API_KEY": "\n"})


@pytest.mark.parametrize(("name", "text"), [("LEASE_MS", "100"), ("LEASE_MS", "600000"), ("MAX_PNG_BYTES", "6700000")])
def test_a_bound_itself_is_allowed(name: str, text: str) -> None:
    """From the least to the most."""
    assert float(text) == getattr(Settings.from_env(NEEDED | {"HEARTBEAT_MS": "20", name: text}), name.lower())


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(FrozenInstanceError):
        Settings.from_env(NEEDED).lease_ms = 1  # type: ignore[misc]


def test_what_is_not_ours_is_ignored() -> None:
    """The platform's variables, and ours in lower case, are none of ours."""
    env = {"PATH": "/bin", "K_SERVICE": "graphql", "redis_url": "redis://other", "GOOGLE_API_KEY": "other"}
    assert Settings.from_env(NEEDED) == Settings.from_env(NEEDED | env)


@pytest.mark.parametrize("name", BAD)
def test_each_bad_variable_is_named_and_not_shown(name: str) -> None:
    """One bad variable, one name, no value."""
    told = refusal(NEEDED | {name: BAD[name]})
    assert name in told
    assert CANARY not in told


def test_all_bad_variables_are_named_at_once() -> None:
    """One failed start is enough to correct them all, and shows none of them."""
    told = refusal(BAD)
    assert [name for name in BAD if name not in told] == []
    assert CANARY not in told
    assert "\n" not in told


def test_what_is_missing_is_named_together() -> None:
    """An empty environment lacks an address and a key."""
    assert refusal({}) == (
        "Settings that cannot be used: REDIS_URL is missing; GEMINI_API_KEY is missing (GEMINI_MODE is api)"
    )


def test_a_missing_key_is_named_beside_a_bad_number() -> None:
    """What depends on other settings is told together with what does not."""
    told = refusal({"REDIS_URL": "redis://x", "LEASE_MS": "soon", "CACHE_REDIS_URL": "x"})
    assert [name for name in ("GEMINI_API_KEY", "LEASE_MS", "CACHE_REDIS_URL") if name not in told] == []


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"GEMINI_MODE": "express", "GEMINI_API_KEY": ""}, "GEMINI_API_KEY"),
        ({"GEMINI_MODE": "vertex"}, "GEMINI_PROJECT"),
        ({"LEASE_MS": "1000", "HEARTBEAT_MS": "501"}, "HEARTBEAT_MS"),
        ({"LEASE_MS": "10000"}, "HEARTBEAT_MS"),
    ],
)
def test_settings_have_to_fit_together(env: dict[str, str], name: str) -> None:
    """A mode needs its credentials; a heartbeat has to come twice within a lease."""
    assert name in refusal(NEEDED | env)


def test_vertex_needs_no_key() -> None:
    """Its credentials are ambient."""
    settings = Settings.from_env({"REDIS_URL": "redis://x", "GEMINI_MODE": "vertex", "GEMINI_PROJECT": "p"})
    assert (settings.gemini_mode, settings.project) == ("vertex", "p")


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "draw.example", "https://*.example", "https://a.example/", "ftp://a", "https://a b"),
        *("https://", "https://a:99999", "https://me@a", "https://a?b", "https://[::1"),
    ],
)
def test_origins_are_exact(origin: str) -> None:
    """No wildcard, no path, no scheme but http and https, and a host."""
    assert "CORS_ORIGINS" in refusal(NEEDED | {"CORS_ORIGINS": f"https://a.example,{origin}"})


def test_no_secret_shows_when_settings_are_printed() -> None:
    """Keys and addresses with passwords are left out of repr and str."""
    env = {"REDIS_URL": f"redis://:{CANARY}@x", "CACHE_REDIS_URL": f"rediss://:{CANARY}@y", "GEMINI_API_KEY": CANARY}
    settings = Settings.from_env(env)
    assert CANARY not in repr(settings) + str(settings) + f"{settings}"


def test_no_secret_shows_in_the_traceback_of_a_bad_start() -> None:
    """The error stands alone: none that has the text of a variable is chained to it."""
    with pytest.raises(BadSettings) as refused:
        Settings.from_env({"GEMINI_API_KEY": CANARY, "LEASE_MS": CANARY})
    assert (None, None) == (refused.value.__cause__, refused.value.__context__)
    assert CANARY not in str(refused.value)


def test_results_have_their_own_address_only_if_one_is_given() -> None:
    """CACHE_REDIS_URL defaults to REDIS_URL."""
    split = Settings.from_env(NEEDED | {"CACHE_REDIS_URL": "redis://other"})
    assert ("redis://other", NEEDED["REDIS_URL"]) == (split.results_url, Settings.from_env(NEEDED).results_url)


def test_the_project_is_that_of_the_topics() -> None:
    """Traces are linked under it."""
    assert Settings.from_env(NEEDED | {"PUBSUB_TOPIC": "projects/p/topics/jobs"}).project == "p"
    assert Settings.from_env(NEEDED | {"DEAD_LETTER_TOPIC": "projects/q/topics/jobs"}).project == "q"
    assert Settings.from_env(NEEDED).project == ""


@given(st.dictionaries(st.sampled_from(sorted(NAMES)), st.text("a1-/:.,* \n\u00e9", max_size=12)))
def test_no_environment_crashes(env: dict[str, str]) -> None:
    """Any environment is settings, or BadSettings in one line."""
    told = ""
    try:
        Settings.from_env(env)
    except BadSettings as bad:
        told = str(bad)
    assert told == "" or told.startswith("Settings that cannot be used: ")
    assert "\n" not in told
