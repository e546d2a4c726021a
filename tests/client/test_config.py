from __future__ import annotations

from typing import Any

import pytest

from kuzu_client.config import KuzuClientConfig, address

DEFAULTS: dict[str, object] = {
    "timeout": 30.0,
    "max_retries": 3,
    "retry_delay": 1.0,
    "retry_backoff": 2.0,
    "max_connections": 100,
    "max_keepalive_connections": 20,
    "keepalive_expiry": 5.0,
    "circuit_breaker_threshold": 5,
    "circuit_breaker_timeout": 60.0,
    "verify_ssl": True,
    "ca_bundle": None,
    "client_cert": None,
    "http2": False,
    "headers": {},
}


def test_the_defaults_are_those_of_the_contract() -> None:
    config = KuzuClientConfig.from_env({})
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config == KuzuClientConfig()


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("KUZU_CLIENT_TIMEOUT", "2.5", "timeout", 2.5),
        ("KUZU_CLIENT_MAX_RETRIES", "0", "max_retries", 0),
        ("KUZU_CLIENT_RETRY_DELAY", "0", "retry_delay", 0.0),
        ("KUZU_CLIENT_VERIFY_SSL", "false", "verify_ssl", False),
        ("KUZU_CLIENT_HTTP2", "On", "http2", True),
        ("KUZU_CLIENT_CA_BUNDLE", "/ca.pem", "ca_bundle", "/ca.pem"),
        ("KUZU_CLIENT_CLIENT_CERT", "/c.pem", "client_cert", "/c.pem"),
        ("KUZU_CLIENT_HEADERS", "X-A: 1, X-B: 2", "headers", {"X-A": "1", "X-B": "2"}),
        ("KUZU_CLIENT_CIRCUIT_BREAKER_THRESHOLD", "9", "circuit_breaker_threshold", 9),
        ("KUZU_CIRCUIT_BREAKER_THRESHOLD", "9", "circuit_breaker_threshold", 9),
        ("KUZU_CIRCUIT_BREAKER_TIMEOUT", "9", "circuit_breaker_timeout", 9.0),
        ("KUZU_RETRY_LOGIC_ENABLED", "false", "retries_enabled", False),
        ("KUZU_CIRCUIT_BREAKERS_ENABLED", "0", "circuit_breakers_enabled", False),
        ("KUZU_CLIENT_TIMEOUT", "", "timeout", 30.0),
    ],
)
def test_the_environment_is_read(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(KuzuClientConfig.from_env({variable: text}), field) == value


def test_what_is_given_wins_over_the_environment_and_the_prefixed_name_over_the_other() -> None:
    environ = {
        "KUZU_CLIENT_TIMEOUT": "2",
        "KUZU_CIRCUIT_BREAKER_TIMEOUT": "3",
        "KUZU_CLIENT_CIRCUIT_BREAKER_TIMEOUT": "4",
    }
    config = KuzuClientConfig.from_env(environ, timeout=1.0)
    assert (config.timeout, config.circuit_breaker_timeout) == (1.0, 4.0)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("KUZU_CLIENT_TIMEOUT", "soon"),
        ("KUZU_CLIENT_VERIFY_SSL", "perhaps"),
        ("KUZU_CLIENT_MAX_RETRIES", "1.5"),
        ("KUZU_CLIENT_HEADERS", "X-A"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=variable):
        KuzuClientConfig.from_env({variable: text})


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"max_retries": -1},
        {"retry_delay": -1},
        {"retry_backoff": 0},
        {"max_connections": 0},
        {"circuit_breaker_threshold": -1},
        {"circuit_breaker_timeout": 0},
        {"headers": {"X A": "1"}},
        {"headers": {"X-A": "1\n"}},
        {"headers": {"X-A": "\u20ac"}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        KuzuClientConfig(**wrong)


def test_the_node_is_found_in_the_environment_when_it_is_not_given() -> None:
    environ = {"KUZU_API_URL": "http://env", "KUZU_API_KEY": "k"}
    assert address(None, None, environ) == ("http://env", "k")
    assert address("http://given", "own", environ) == ("http://given", "own")
    assert address(None, None, {}) == ("", None)


def test_the_line_end_of_a_file_is_no_part_of_a_key() -> None:
    assert address("http://node", " k\n", {}) == ("http://node", "k")
    assert address("http://node", None, {"KUZU_API_KEY": "k\r\n"}) == ("http://node", "k")
    assert address("http://node", "\n", {}) == ("http://node", None)


@pytest.mark.parametrize("key", ["secret\nx", "secr\u00e9t", "secret\0"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as caught:
        address("http://node", key, {})
    assert "secr" not in str(caught.value)


def test_what_a_configuration_shows_of_itself_has_no_keys() -> None:
    config = KuzuClientConfig(headers={"Authorization": "Bearer secret"})
    assert "Authorization" in repr(config)
    assert "secret" not in repr(config)
    with pytest.raises(ValueError, match="Authorization") as caught:
        KuzuClientConfig(headers={"Authorization": "Bearer secret\n"})
    assert "secret" not in str(caught.value)
