"""From texts to one frozen tree. Everything a start says about its settings is found here."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import attrs

from kuzu_node.config import parsing
from kuzu_node.config import settings as s
from kuzu_node.config.later import IGNORED, LATER
from kuzu_node.config.machine import Machine
from kuzu_node.config.setting import Setting
from kuzu_node.config.tiers import TierDefaults, tier_defaults
from kuzu_node.config.values import (
    ConfigurationError,
    EngineConfig,
    HttpConfig,
    Identity,
    LogConfig,
    NodeConfig,
    ScreenConfig,
    pool_mb,
)

T = TypeVar("T")

# The rest of the machine's memory is the node's own, the page cache's and the system's.
MEMORY_PERCENT = 80
# What a worker needs besides the pool: the imports alone are about 90 MB resident.
SMALL_WORKER_MB = 256
SHORT_KEY = 16


@attrs.define(eq=False)
class Reader:
    """Looks a setting up: the command line first, then the environment. An empty text counts as not set."""

    environ: Mapping[str, str]
    options: Mapping[str, str]
    notes: list[str] = attrs.field(factory=list)

    def find(self, setting: Setting[T]) -> tuple[str, str] | None:
        """The name it was found under and its text."""
        for source in (self.options, self.environ):
            found = [(name, text) for name in setting.names if (text := source.get(name, "").strip())]
            if found:
                if any(text != found[0][1] for _, text in found[1:]):
                    self.notes.append(f"{found[0][0]} and {found[1][0]} differ: {found[0][0]} counts")
                return found[0]
        return None

    def explicit(self, setting: Setting[T]) -> T | None:
        """The value that was set, or None."""
        found = self.find(setting)
        if found is None:
            return None
        name, text = found
        try:
            return setting.parse(text)
        except ValueError as error:
            shown = "" if setting.secret else f"={text}"
            raise ConfigurationError(f"{name}{shown}: {error}") from error

    def value(self, setting: Setting[T]) -> T:
        """The value that was set, or the setting's own default."""
        if self.find(setting) is None:
            assert setting.default is not None, f"{setting.name} has no default of its own"
            return setting.parse(setting.default)
        return self.explicit(setting)  # type: ignore[return-value]  # found, so None only where T allows it


def load(
    environ: Mapping[str, str], options: Mapping[str, str] | None = None, *, machine: Machine | None = None
) -> NodeConfig:
    """The configuration; `options` are the command line's by the names of settings, and beat the environment.

    Raises ConfigurationError.
    """
    machine = machine or Machine.from_here()
    reader = Reader(environ, options or {})
    check_names(reader)
    identity = read_identity(reader, machine)
    defaults = tier_defaults(identity.tier, identity.environment)
    http = read_http(reader)
    engine = read_engine(reader, defaults, machine)
    screen = read_screen(reader, defaults)
    log = LogConfig(
        level=reader.value(s.LOG_LEVEL),
        format=reader.explicit(s.LOG_FORMAT) or ("text" if machine.terminal else "json"),
        slow_query_ms=reader.value(s.SLOW_QUERY),
    )
    check_keys(reader, http)
    check_promises(reader, engine, machine)
    return NodeConfig(
        identity=identity, http=http, engine=engine, screen=screen, log=log, notes=tuple(dict.fromkeys(reader.notes))
    )


def check_names(reader: Reader) -> None:
    """Notes on what has no effect; an error where going on would leave open what was meant to be closed."""
    given = {name: text for name, text in reader.environ.items() if text.strip()}
    inactive = []
    for later in LATER:
        text = given.get(later.name)
        if text is None or text.strip().lower() in ("off", "none", "false"):
            continue
        if later.refused:
            raise ConfigurationError(
                f"{later.name} is set, but this release does not serve it ({later.meaning}): unset it"
            )
        inactive.append(later.name)
    if inactive:
        reader.notes.append(f"not yet in effect: {', '.join(inactive)}")
    if ignored := [name for name in IGNORED if name in given]:
        reader.notes.append(f"accepted and ignored: {', '.join(ignored)}")
    known = [name for setting in s.EVERY_SETTING for name in setting.names]
    known_too = {*known, *IGNORED, *(later.name for later in LATER)}
    for name in sorted(given):
        if name.startswith("KUZU_") and name not in known_too:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            reader.notes.append(f"{name} is no setting" + (f"; did you mean {close[0]}?" if close else ""))


def read_identity(reader: Reader, machine: Machine) -> Identity:
    node_type = reader.value(s.NODE_TYPE)
    if node_type == "shared_replica":
        raise ConfigurationError(
            "KUZU_NODE_TYPE=shared_replica: replicas are not served by this release: use writer or shared_master"
        )
    return Identity(
        base_path=reader.value(s.DATABASE_PATH),
        node_type=node_type,
        tier=reader.value(s.TIER),
        instance_id=reader.explicit(s.INSTANCE_ID) or machine.host_name,
        environment=reader.value(s.ENVIRONMENT),
    )


def read_http(reader: Reader) -> HttpConfig:
    key_file = reader.explicit(s.API_KEY_FILE)
    keys = reader.explicit(s.API_KEY) or ()
    if key_file is not None:
        keys += read_key_file(key_file)
    return HttpConfig(
        host=reader.value(s.HOST),
        port=reader.value(s.PORT),
        api_keys=tuple(dict.fromkeys(keys)),
        api_key_file=key_file,
        public_metrics=reader.value(s.PUBLIC_METRICS),
        max_request_size=reader.value(s.MAX_REQUEST_SIZE),
        max_header_size=reader.value(s.MAX_HEADER_SIZE),
        max_path_length=reader.value(s.MAX_PATH_LENGTH),
        body_idle_seconds=reader.value(s.BODY_IDLE),
        cors_origins=reader.explicit(s.CORS_ORIGINS) or (),
        drain_seconds=reader.value(s.DRAIN),
        stall_timeout=reader.value(s.STALL_TIMEOUT),
        admission_memory_percent=reader.value(s.ADMISSION_MEMORY),
        admission_cpu_percent=reader.value(s.ADMISSION_CPU),
    )


def read_engine(reader: Reader, defaults: TierDefaults, machine: Machine) -> EngineConfig:
    max_memory = reader.explicit(s.MAX_MEMORY) or machine.memory_mb * MEMORY_PERCENT // 100
    wanted = reader.explicit(s.MEMORY_PER_DB) or defaults.memory_mb or max_memory
    if wanted > max_memory:
        reader.notes.append(
            f"{wanted} MB for each database is more than the node's {max_memory} MB: a worker gets {max_memory} MB"
        )
    memory = min(wanted, max_memory)
    return EngineConfig(
        max_databases=reader.explicit(s.MAX_DATABASES) or defaults.databases,
        max_memory_mb=max_memory,
        memory_per_db_mb=memory,
        max_db_size_gb=reader.value(s.MAX_DB_SIZE),
        slots=reader.explicit(s.SLOTS) or defaults.slots,
        queue_timeout=reader.value(s.QUEUE_TIMEOUT),
        queue_length=reader.value(s.QUEUE_LENGTH),
        query_timeout=reader.explicit(s.QUERY_TIMEOUT) or defaults.query_timeout,
        kill_grace=reader.value(s.KILL_GRACE),
        stall_timeout=reader.value(s.STALL_TIMEOUT),
        chunk_size=reader.explicit(s.CHUNK_SIZE) or defaults.chunk_size,
        sandbox=reader.value(s.SANDBOX),
        spare_worker=reader.value(s.SPARE_WORKER),
        idle_evict_seconds=reader.value(s.IDLE_EVICT),
        checkpoint_wal_mb=reader.value(s.CHECKPOINT_WAL),
        quarantine_seconds=reader.value(s.QUARANTINE),
        undelivered_mb=reader.explicit(s.UNDELIVERED) or max(1, pool_mb(memory) // 4),
        max_sessions=reader.value(s.MAX_SESSIONS),
        transaction_idle=reader.value(s.TRANSACTION_IDLE),
        transaction_longest=reader.value(s.TRANSACTION_LONGEST),
    )


def read_screen(reader: Reader, defaults: TierDefaults) -> ScreenConfig:
    return ScreenConfig(
        max_query_length=reader.explicit(s.MAX_QUERY_LENGTH) or defaults.query_length,
        max_nesting=reader.value(s.MAX_NESTING),
        max_case_depth=reader.value(s.MAX_CASE_DEPTH),
        max_tokens=reader.value(s.MAX_TOKENS),
        max_parameter_bytes=reader.value(s.MAX_PARAMETER_BYTES),
    )


def read_key_file(path: Path) -> tuple[bytes, ...]:
    """The keys in the file; at least one. Raises ConfigurationError. Called again to take a rotation in."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"KUZU_API_KEY_FILE={path}: cannot be read as text: {error}") from error
    try:
        return parsing.keys(text)
    except ValueError as error:
        raise ConfigurationError(f"KUZU_API_KEY_FILE={path}: {error}") from error


def check_keys(reader: Reader, http: HttpConfig) -> None:
    """Without a key only the machine itself may call."""
    if any(len(key) < SHORT_KEY for key in http.api_keys):
        reader.notes.append(f"a key is shorter than {SHORT_KEY} characters and could be guessed")
    if http.api_keys:
        return
    if not is_loopback(http.host):
        raise ConfigurationError(
            f"KUZU_HOST={http.host} without a key would open the node to everybody: "
            "set KUZU_API_KEY or KUZU_API_KEY_FILE, or listen on 127.0.0.1"
        )
    reader.notes.append("no key is set: everybody on this machine can read and write all databases")


def is_loopback(host: str) -> bool:
    """False in doubt: a name other than localhost may point anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_promises(reader: Reader, engine: EngineConfig, machine: Machine) -> None:
    """Says what the machine cannot keep; none of it keeps a node from serving."""
    if engine.max_memory_mb > machine.memory_mb:
        reader.notes.append(
            f"KUZU_MAX_MEMORY_MB={engine.max_memory_mb} is more than the {machine.memory_mb} MB of this machine"
        )
    databases, memory = engine.max_databases, engine.memory_per_db_mb
    if databases is not None and databases > engine.max_open:
        reader.notes.append(
            f"{databases} databases of {memory} MB do not fit into {engine.max_memory_mb} MB at once: "
            f"{engine.max_open} can be open, the idlest closes for the next"
        )
    if memory < SMALL_WORKER_MB:
        reader.notes.append(
            f"{memory} MB for each database leave the engine {engine.buffer_pool_mb} MB: "
            f"large writes will fail; {SMALL_WORKER_MB} MB is a workable minimum"
        )
    if engine.sandbox == "off":
        reader.notes.append("KUZU_SANDBOX=off: only the screen stands between a query and this machine's files")
