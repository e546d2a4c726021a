from __future__ import annotations

from pathlib import Path

import pytest

from kuzu_node.config import ConfigurationError, Machine, NodeConfig, load, warnings
from kuzu_node.config.settings import EVERY_SETTING

MACHINE = Machine(memory_mb=20_000, host_name="here", terminal=False)
KEY = {"KUZU_API_KEY": "a-key-that-is-long-enough"}


def configured(environ: dict[str, str] | None = None, **options: str) -> NodeConfig:
    return load(environ or {}, options, machine=MACHINE)


def test_nothing_has_to_be_set() -> None:
    config = configured()
    assert config.identity.base_path == Path.cwd() / "data/kuzu-dbs"
    assert (config.http.host, config.http.port) == ("127.0.0.1", 8001)
    assert config.identity.instance_id == "here"
    assert config.engine.max_memory_mb == 16_000
    assert config.engine.memory_per_db_mb == 2048
    assert config.engine.buffer_pool_mb == 1228
    assert config.engine.undelivered_mb == 307
    assert config.log.format == "json"


def test_every_plain_default_is_a_text_its_own_parser_takes() -> None:
    for setting in EVERY_SETTING:
        if setting.default is not None:
            setting.parse(setting.default)


@pytest.mark.parametrize(
    ("tier", "databases", "memory", "chunk", "timeout", "length", "slots"),
    [
        ("standard", 10, 2048, 1000, 30, 10_000, 3),
        ("enterprise", 1, 14_336, 5000, 120, 50_000, 8),
        ("premium", 1, 16_000, 10_000, 300, 100_000, 8),
        ("shared", None, 16_000, 10_000, 300, 100_000, 8),
    ],
)
def test_a_tier_sets_the_defaults(
    tier: str, databases: int | None, memory: int, chunk: int, timeout: float, length: int, slots: int
) -> None:
    config = configured({"CLUSTER_TIER": tier})
    engine = config.engine
    assert (engine.max_databases, engine.memory_per_db_mb, engine.chunk_size) == (databases, memory, chunk)
    assert (engine.query_timeout, config.screen.max_query_length, engine.slots) == (timeout, length, slots)


def test_staging_makes_the_standard_tier_smaller_and_leaves_the_others() -> None:
    staging = configured({"ENVIRONMENT": "staging"}).engine
    assert (staging.memory_per_db_mb, staging.chunk_size) == (700, 750)
    assert configured({"ENVIRONMENT": "staging", "WRITER_TIER": "enterprise"}).engine.chunk_size == 5000


def test_an_explicit_setting_beats_its_tier() -> None:
    engine = configured({"WRITER_TIER": "premium", "KUZU_CHUNK_SIZE": "7", "KUZU_CONNECTION_POOL_SIZE": "2"}).engine
    assert (engine.chunk_size, engine.slots, engine.query_timeout) == (7, 2, 300)


def test_the_command_line_beats_the_environment() -> None:
    assert configured({"KUZU_PORT": "1"}, KUZU_PORT="2").http.port == 2
    assert configured({"WRITER_TIER": "premium"}, WRITER_TIER="shared").identity.tier == "shared"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert configured({"KUZU_PORT": " ", "KUZU_API_KEY": ""}).http.port == 8001


def test_two_names_of_one_setting_that_differ_are_said_and_the_first_counts() -> None:
    config = configured({"WRITER_TIER": "premium", "CLUSTER_TIER": "shared"})
    assert config.identity.tier == "premium"
    assert any("WRITER_TIER and CLUSTER_TIER differ" in note for note in warnings(config))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KUZU_PORT", "65536"),
        ("KUZU_PORT", "80.5"),
        ("KUZU_HOST", "http://x"),
        ("KUZU_HOST", "127.0.0.1:80"),
        ("KUZU_NODE_TYPE", "reader"),
        ("KUZU_NODE_TYPE", "shared_replica"),
        ("WRITER_TIER", "gold"),
        ("KUZU_QUERY_TIMEOUT", "0"),
        ("KUZU_QUERY_TIMEOUT", "nan"),
        ("KUZU_DRAIN_SECONDS", "-1"),
        ("KUZU_DRAIN_SECONDS", "inf"),
        ("KUZU_MAX_DB_SIZE_GB", "1000"),
        ("KUZU_MAX_REQUEST_SIZE", "ten"),
        ("KUZU_MAX_REQUEST_SIZE", "10 XB"),
        ("KUZU_MAX_CONNECTIONS_PER_DB", "0"),
        ("KUZU_PUBLIC_METRICS", "maybe"),
        ("KUZU_ADMISSION_CPU_THRESHOLD", "101"),
        ("KUZU_CORS_ORIGINS", "graphs.example"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(name: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        configured({name: text})


def test_sizes_take_units() -> None:
    http = configured({"KUZU_MAX_REQUEST_SIZE": "2MiB", "KUZU_MAX_HEADER_SIZE": "100"}).http
    assert (http.max_request_size, http.max_header_size) == (2 * 2**20, 100)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "node.example"])
def test_a_node_open_to_others_without_a_key_does_not_start(host: str) -> None:
    with pytest.raises(ConfigurationError, match="KUZU_API_KEY"):
        configured({"KUZU_HOST": host})
    assert configured({"KUZU_HOST": host, **KEY}).http.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_without_a_key_a_loopback_address_serves_with_a_warning(host: str) -> None:
    assert any("no key is set" in note for note in warnings(configured({"KUZU_HOST": host})))
    assert not any("no key" in note for note in warnings(configured({"KUZU_HOST": host, **KEY})))


def test_keys_come_from_variable_and_file_and_stay_out_of_the_repr(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("second-key-of-the-node\nthird-key-of-the-node , first-key-of-the-node\n")
    config = configured({"KUZU_API_KEY": "first-key-of-the-node", "KUZU_API_KEY_FILE": str(file)})
    assert config.http.api_keys == (b"first-key-of-the-node", b"second-key-of-the-node", b"third-key-of-the-node")
    assert config.http.api_key_file == file
    assert "key-of-the-node" not in repr(config)


@pytest.mark.parametrize("text", ["", " ,\n,", "two words"])
def test_a_key_file_without_a_usable_key_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="KUZU_API_KEY_FILE"):
        configured({"KUZU_API_KEY_FILE": str(file)})


def test_a_missing_key_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="KUZU_API_KEY_FILE"):
        configured({"KUZU_API_KEY_FILE": str(tmp_path / "none")})


def test_a_wrong_key_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured({"KUZU_API_KEY": "my secret"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["KUZU_API_KEY_SECRET", "KUZU_TLS_CERT", "KUZU_REVOKED_KEYS_FILE", "KUZU_RATE_LIMIT"])
def test_a_protection_that_is_not_served_stops_the_start(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        configured({name: "x"})
    configured({name: "off"})


def test_what_has_no_effect_is_said_at_start() -> None:
    notes = warnings(
        configured({"KUZU_TRASH_HOURS": "1", "DATABASE_URL": "x", "KUZU_QUERY_TIMOUT": "1", "KUZU_ZZZ": "1"} | KEY)
    )
    assert "not yet in effect: KUZU_TRASH_HOURS" in notes
    assert "accepted and ignored: DATABASE_URL" in notes
    assert "KUZU_QUERY_TIMOUT is no setting; did you mean KUZU_QUERY_TIMEOUT?" in notes
    assert "KUZU_ZZZ is no setting" in notes


def test_a_promise_that_the_machine_cannot_keep_is_said() -> None:
    small = Machine(memory_mb=17_500, host_name="here", terminal=False)
    config = load(KEY, machine=small)
    assert config.engine.max_open == 6
    assert any("10 databases of 2048 MB do not fit into 14000 MB" in note for note in warnings(config))
    large = Machine(memory_mb=40_000, host_name="here", terminal=False)
    assert warnings(load(KEY, machine=large)) == []


def test_memory_for_a_database_is_at_most_the_nodes() -> None:
    config = configured({"KUZU_MAX_MEMORY_MB": "1000", "KUZU_MEMORY_PER_DB_MB": "4000"})
    assert (config.engine.memory_per_db_mb, config.engine.max_open) == (1000, 1)
    assert any("4000 MB" in note for note in warnings(config))


def test_a_terminal_gets_text_unless_json_is_asked_for() -> None:
    terminal = Machine(memory_mb=20_000, host_name="here", terminal=True)
    assert load({}, machine=terminal).log.format == "text"
    assert load({"KUZU_LOG_FORMAT": "json"}, machine=terminal).log.format == "json"
