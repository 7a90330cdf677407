"""What the laptop's functions get to know, and where from."""

import socket
import sys
from pathlib import Path

import pytest

from emulator.layout import layout
from emulator.parts import CannotStart, Part
from tests.servers import free_port


def laid_out(**shell: str) -> dict[str, Part]:
    return {part.name: part for part in layout({"PATH": "/bin", "PORT": str(free_port()), **shell})}


def test_functions_inherit_nothing_but_what_the_machine_needs() -> None:
    """Their environment is the machine's few names and the settings."""
    parts = laid_out(HOME="/home/me", LANG="C", SECRET="s", REDIS_URL="", AWS_TOKEN="t", PYTHONDEVMODE="1")
    expected = {
        *("PATH", "HOME", "LANG", "PYTHONUNBUFFERED", "PYTHONDEVMODE"),
        *("REDIS_URL", "PUBSUB_URL", "PUBSUB_TOPIC", "DEAD_LETTER_TOPIC"),
        *("GEMINI_MODE", "GEMINI_API_KEY", "GEMINI_BASE_URL"),
        *("CORS_ORIGINS", "INTROSPECTION", "LOG_LEVEL", "ACCESS"),
        *("DAILY_CALLS", "DAILY_DOLLARS", "PRINCIPAL_DAILY_CALLS", "PRINCIPAL_DAILY_DOLLARS"),
        *("REQUESTS_PER_MINUTE", "CONCURRENT_JOBS"),
    }
    assert expected == set(parts["worker"].environment)
    assert parts["worker"].environment == parts["graphql"].environment


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "http"), ("PORT", "0"), ("PORT", "65536"), ("INSTANCES", "-1"), ("INSTANCES", "²")]
)
def test_number_out_of_range_is_one_sentence(name: str, value: str) -> None:
    """It names the variable and the range."""
    with pytest.raises(CannotStart, match=f"^{name} must be a number from 1 to [0-9]+, not '{value}'$"):
        laid_out(**{name: value})


def test_ports_in_use_are_stepped_over() -> None:
    """Only the endpoint insists on its port; the one above it stays free for the sketch pad."""
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 2))
        taken.listen()
        parts = laid_out(PORT=str(port))
    assert parts["graphql"].address == f"http://127.0.0.1:{port}"
    assert parts["worker"].address == f"http://127.0.0.1:{port + 3}"


def test_port_of_roots_is_one_sentence() -> None:
    """Nobody is told to end what runs there."""
    with socket.socket() as attempt:
        try:
            attempt.bind(("127.0.0.1", 80))
        except PermissionError:
            pass
        except OSError:
            pytest.skip("port 80 is in use")
        else:
            pytest.skip("this user may listen on port 80")
    with pytest.raises(CannotStart, match=r"^port 80 is only for root: set PORT to 1024 or more$"):
        laid_out(PORT="80")


def test_instances_have_names_and_ports_of_their_own() -> None:
    """The second of each function carries a 2."""
    parts = laid_out(INSTANCES="2")
    assert list(parts)[3:] == ["worker", "worker-2", "graphql", "graphql-2", "pad"]
    assert len({part.address for part in parts.values()}) == 8


def test_functions_get_the_addresses_that_are_told() -> None:
    """Redis, broker and Gemini are where their lines say."""
    parts = laid_out()
    environment = parts["graphql"].environment
    told = [parts[name].address for name in ("redis", "pubsub", "gemini")]
    assert told == [environment[name] for name in ("REDIS_URL", "PUBSUB_URL", "GEMINI_BASE_URL")]


def test_front_ends_of_this_machine_may_call() -> None:
    """The usual development servers and the sketch pad are allowed origins."""
    port = free_port()
    origins = laid_out(PORT=str(port))["graphql"].environment["CORS_ORIGINS"].split(",")
    hosts = ("http://localhost", "http://127.0.0.1")
    assert {f"{host}:{p}" for host in hosts for p in (3000, 5173, port + 1)} == set(origins)


@pytest.mark.parametrize("named", ["https://draw.example", "https://draw.example,http://localhost:4200"])
def test_named_origins_take_the_place_of_all_but_the_pads(named: str) -> None:
    """Those of the shell's, as they stand, and then the sketch pad, which would otherwise be cut off."""
    port = free_port()
    origins = laid_out(PORT=str(port), CORS_ORIGINS=named)["graphql"].environment["CORS_ORIGINS"]
    assert f"{named},http://localhost:{port + 1},http://127.0.0.1:{port + 1}" == origins


def test_empty_list_of_origins_is_none() -> None:
    """As everywhere, an empty variable means the default."""
    port = str(free_port())
    unsaid, empty = (laid_out(PORT=port, **shell)["graphql"].environment for shell in ({}, {"CORS_ORIGINS": ""}))
    assert unsaid["CORS_ORIGINS"] == empty["CORS_ORIGINS"]


def test_settings_pass_and_addresses_do_not() -> None:
    """A setting of the shell's reaches the functions under its own name, unless it says where to connect."""
    parts = laid_out(LEASE_MS="600", LOG_LEVEL="DEBUG", PUBSUB_URL="http://elsewhere", GEMINI_BASE_URL="http://x")
    environment = parts["worker"].environment
    assert (environment["LEASE_MS"], environment["LOG_LEVEL"]) == ("600", "DEBUG")
    assert not {"http://elsewhere", "http://x"} & set(environment.values())


def test_access_is_off_unless_the_shell_says_otherwise() -> None:
    """Keys and an issuer of the shell's reach the functions, so that a front end can try to sign in."""
    assert "off" == laid_out()["graphql"].environment["ACCESS"]
    shell = {"ACCESS": "required", "API_KEYS": "[]", "JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "JWT_JWKS_URL": "u"}
    environment = laid_out(**shell)["graphql"].environment
    assert shell == {name: environment[name] for name in shell}


def test_key_of_ones_own_asks_the_real_gemini_and_says_so() -> None:
    """No stand-in is started, no address given, and the line warns of the bill."""
    parts = laid_out(GEMINI_API_KEY="k", GEMINI_MODE="express", GEMINI_MODEL="m")
    environment = parts["worker"].environment
    assert (parts["gemini"].address, parts["gemini"].command) == ("REAL, billed", ())
    assert "GEMINI_BASE_URL" not in environment
    passed = ("GEMINI_API_KEY", "GEMINI_MODE", "GEMINI_MODEL")
    assert [environment[name] for name in passed] == ["k", "express", "m"]


def test_ceilings_hold_where_calls_are_billed_and_nowhere_else() -> None:
    """The stand-in may be called without end; with a key of one's own the functions' defaults stand."""
    free, billed = laid_out()["graphql"].environment, laid_out(GEMINI_API_KEY="k")["graphql"].environment
    assert ("unlimited", "unlimited") == (free["DAILY_CALLS"], free["REQUESTS_PER_MINUTE"])
    assert (None, "unlimited") == (billed.get("DAILY_CALLS"), billed["REQUESTS_PER_MINUTE"])
    assert "5" == laid_out(DAILY_CALLS="5")["worker"].environment["DAILY_CALLS"]


def test_redis_of_ones_own_is_used_and_its_password_not_told() -> None:
    """No server is started; user, password and query are left out of the line."""
    url = "rediss://me:secret@redis.example:6380/1?password=secret"
    parts = laid_out(REDIS_URL=url, REDIS_CA_CERT="pem")
    assert (parts["redis"].address, parts["redis"].command) == ("rediss://redis.example:6380/1", ())
    environment = parts["worker"].environment
    assert (url, "pem") == (environment["REDIS_URL"], environment["REDIS_CA_CERT"])


@pytest.mark.parametrize("url", ["redis://a..b", f"redis://{'a' * 64}.example", "redis://a b:1", "redis://h:99999"])
def test_redis_that_nobody_could_ask_is_one_sentence(url: str) -> None:
    """It shows what an address looks like."""
    with pytest.raises(CannotStart, match=r"^REDIS_URL must look like redis://host:6379/0 or rediss://host:6379/0$"):
        laid_out(REDIS_URL=url)


@pytest.mark.parametrize(
    "place", ["127.0.0.1:99999", "a..b:1", "a b:1", "http://a:1", "localhost", ":1", "a:¹", "u@a:1"]
)
def test_broker_that_nobody_could_ask_is_one_sentence(place: str) -> None:
    """It names the variable that was set, and shows what it should be like."""
    sentence = f"^PUBSUB_EMULATOR_HOST must look like 127.0.0.1:8085, not {place!r}$"
    with pytest.raises(CannotStart, match=sentence):
        laid_out(PUBSUB_EMULATOR_HOST=place)


def test_delay_of_gemini_reaches_its_stand_in_alone() -> None:
    """It is no setting of the functions."""
    parts = laid_out(GEMINI_DELAY_S="2")
    assert parts["gemini"].environment["GEMINI_DELAY_S"] == "2"
    assert "GEMINI_DELAY_S" not in parts["worker"].environment


def test_googles_broker_that_runs_already_is_used_and_its_limit_told() -> None:
    """No broker is started; with two workers a person is told that only the first one gets work."""
    parts = laid_out(PUBSUB_EMULATOR_HOST="127.0.0.1:8085", INSTANCES="2")
    assert (parts["pubsub"].address, parts["pubsub"].command) == ("http://127.0.0.1:8085", ())
    assert parts["pubsub"].note.startswith("pushes to the first worker only")
    assert "" == laid_out(PUBSUB_EMULATOR_HOST="127.0.0.1:8085")["pubsub"].note


def test_googles_broker_is_started_where_it_is_named(tmp_path: Path) -> None:
    """The program is looked for beside `gcloud`, unless a variable names it."""
    named, gcloud = tmp_path / "named", tmp_path / "bin" / "gcloud"
    found = tmp_path / "platform" / "pubsub-emulator" / "bin" / "cloud-pubsub-emulator"
    for program in (named, gcloud, found):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(0o755)
    shell = {"PUBSUB": "google", "PATH": str(gcloud.parent), "JAVA_HOME": "/java"}
    for more, expected in (({}, found), ({"PUBSUB_EMULATOR_PROGRAM": str(named)}, named)):
        part = laid_out(**shell, **more)["pubsub"]
        assert [str(expected), "--host=127.0.0.1"] == list(part.command[:2])
        assert "/java" == part.environment["JAVA_HOME"]


@pytest.mark.parametrize(
    ("shell", "sentence"),
    [
        ({"PUBSUB": "other"}, "^PUBSUB must be google, or nothing for the stand-in, not 'other'$"),
        ({"PUBSUB": "google", "PATH": "/nowhere"}, "^PUBSUB=google needs Google's Pub/Sub emulator, .*_PROGRAM$"),
        ({"PUBSUB": "google", "PUBSUB_EMULATOR_PROGRAM": "/no"}, "^PUBSUB_EMULATOR_PROGRAM names '/no', which"),
        (
            {"PUBSUB": "google", "PUBSUB_EMULATOR_PROGRAM": sys.executable, "PATH": "/nowhere"},
            "^PUBSUB=google needs Java: there is no `java` in the PATH, and JAVA_HOME is not set$",
        ),
    ],
    ids=["kind", "missing", "named", "java"],
)
def test_broker_that_cannot_be_started_is_one_sentence(shell: dict[str, str], sentence: str) -> None:
    """What is missing, and what helps."""
    with pytest.raises(CannotStart, match=sentence):
        laid_out(**shell)
