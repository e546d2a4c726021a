"""The settings that are in effect. `load` reads them, the command line mirrors them, the document lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from kuzu_node.config import parsing
from kuzu_node.config.setting import Setting
from kuzu_node.config.values import POOL_PERCENT, Environment, LogFormat, NodeType, SandboxMode, Tier

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

DATABASE_PATH: Setting[Path] = Setting(
    names=("KUZU_DATABASE_PATH",),
    parse=parsing.path,
    default="./data/kuzu-dbs",
    meaning="base folder; databases in `<graph_id>/`, the node's own files in `.node/`",
)
HOST: Setting[str] = Setting(
    names=("KUZU_HOST",),
    parse=parsing.host,
    default="127.0.0.1",
    meaning="address to listen on; any but a loopback address needs a key",
)
PORT: Setting[int] = Setting(
    names=("KUZU_PORT",), parse=parsing.whole(0, 65535), default="8001", meaning="port; 0 takes a free one"
)
NODE_TYPE: Setting[NodeType] = Setting(
    names=("KUZU_NODE_TYPE",),
    parse=parsing.choice(get_args(NodeType)),
    default="writer",
    meaning="writer (entity graphs) or shared_master (repositories); shared_replica is not served yet",
)
TIER: Setting[Tier] = Setting(
    names=("WRITER_TIER", "CLUSTER_TIER"),
    parse=parsing.choice(get_args(Tier)),
    default="standard",
    meaning="standard, enterprise, premium or shared: sets the defaults listed under Tiers",
)
INSTANCE_ID: Setting[str] = Setting(
    names=("INSTANCE_ID",), parse=parsing.word, shown="host name", meaning="name of this node in answers and logs"
)
ENVIRONMENT: Setting[Environment] = Setting(
    names=("ENVIRONMENT",),
    parse=parsing.choice(get_args(Environment)),
    default="dev",
    meaning="dev, staging or prod; staging makes the standard tier smaller",
)

API_KEY: Setting[tuple[bytes, ...]] = Setting(
    names=("KUZU_API_KEY",),
    parse=parsing.keys,
    shown="none",
    secret=True,
    meaning="keys that open the node, comma-separated; no command-line option, since other users could read it there",
)
API_KEY_FILE: Setting[Path] = Setting(
    names=("KUZU_API_KEY_FILE",),
    parse=parsing.path,
    shown="none",
    meaning="a file of keys, one a line or comma-separated; they add to KUZU_API_KEY",
)
PUBLIC_METRICS: Setting[bool] = Setting(
    names=("KUZU_PUBLIC_METRICS",),
    parse=parsing.boolean,
    default="false",
    meaning="serve `/metrics`, `/info` and `/status/databases` without a key",
)
MAX_REQUEST_SIZE: Setting[int] = Setting(
    names=("KUZU_MAX_REQUEST_SIZE",),
    parse=parsing.size,
    default="10 MiB",
    meaning="longest JSON body; row bodies have no limit but the disk's",
)
MAX_HEADER_SIZE: Setting[int] = Setting(
    names=("KUZU_MAX_HEADER_SIZE",), parse=parsing.size, default="16 KiB", meaning="all headers of a request together"
)
MAX_PATH_LENGTH: Setting[int] = Setting(
    names=("KUZU_MAX_PATH_LENGTH",), parse=parsing.size, default="4 KiB", meaning="path and query of a request"
)
BODY_IDLE: Setting[float] = Setting(
    names=("KUZU_BODY_IDLE_SECONDS",),
    parse=parsing.number(0, above=True),
    default="30",
    meaning="seconds that a body may stall while it is sent",
)
CORS_ORIGINS: Setting[tuple[str, ...]] = Setting(
    names=("KUZU_CORS_ORIGINS",),
    parse=parsing.origins,
    shown="none",
    meaning="web origins, comma-separated, whose pages may call the node",
)
DRAIN: Setting[float] = Setting(
    names=("KUZU_DRAIN_SECONDS",),
    parse=parsing.number(0),
    default="25",
    meaning="seconds that running work gets at shutdown; then interrupt, roll back, exit 0",
)
ADMISSION_MEMORY: Setting[float] = Setting(
    names=("KUZU_ADMISSION_MEMORY_THRESHOLD",),
    parse=parsing.number(0, above=True, high=100),
    default="85",
    meaning="percent of memory in use above which new work is answered 503",
)
ADMISSION_CPU: Setting[float | None] = Setting(
    names=("KUZU_ADMISSION_CPU_THRESHOLD",),
    parse=parsing.percent_or_off,
    default="off",
    meaning="percent of CPU in use above which new work is answered 503, or off",
)

MAX_DATABASES: Setting[int] = Setting(
    names=("KUZU_MAX_DATABASES_PER_NODE",),
    parse=parsing.whole(1),
    shown="by tier",
    meaning="databases that may exist on the node, open or closed; subgraphs are not counted",
)
MAX_MEMORY: Setting[int] = Setting(
    names=("KUZU_MAX_MEMORY_MB",),
    parse=parsing.whole(128),
    shown="80 % of the machine or its control group",
    meaning="all workers together; at most KUZU_MAX_MEMORY_MB / KUZU_MEMORY_PER_DB_MB databases are open, "
    "the idlest closes for the next, else a bounded wait, then 503",
)
MEMORY_PER_DB: Setting[int] = Setting(
    names=("KUZU_MEMORY_PER_DB_MB",),
    parse=parsing.whole(64),
    shown="by tier, at most the node's",
    meaning=f"one worker; {POOL_PERCENT} % of it is the engine's buffer pool",
)
MAX_DB_SIZE: Setting[int] = Setting(
    names=("KUZU_MAX_DB_SIZE_GB",),
    parse=parsing.power_of_two,
    default="1024",
    meaning="address space and largest size of a graph; a power of two",
)
SLOTS: Setting[int] = Setting(
    names=("KUZU_MAX_CONNECTIONS_PER_DB", "KUZU_CONNECTION_POOL_SIZE"),
    parse=parsing.whole(1, 256),
    shown="by tier",
    meaning="slots: statements of one database that execute at once",
)
QUEUE_TIMEOUT: Setting[float] = Setting(
    names=("KUZU_QUEUE_TIMEOUT",),
    parse=parsing.number(0),
    default="5",
    meaning="seconds that a statement waits for a slot, or for a closed database while none opens, then 503",
)
QUEUE_LENGTH: Setting[int] = Setting(
    names=("KUZU_QUEUE_LENGTH",),
    parse=parsing.whole(0),
    default="100",
    meaning="statements of one database that may wait for a slot; the next is answered 503",
)
QUERY_TIMEOUT: Setting[float] = Setting(
    names=("KUZU_QUERY_TIMEOUT",),
    parse=parsing.number(0, above=True),
    shown="by tier",
    meaning="seconds for waiting and execution; the default and the upper bound of a request's own `timeout`",
)
CHUNK_SIZE: Setting[int] = Setting(
    names=("KUZU_CHUNK_SIZE",), parse=parsing.whole(1), shown="by tier", meaning="rows in one chunk of a stream"
)
KILL_GRACE: Setting[float] = Setting(
    names=("KUZU_KILL_GRACE",),
    parse=parsing.number(0),
    default="2",
    meaning="seconds from the interrupt of a statement to the SIGKILL of its worker",
)
STALL_TIMEOUT: Setting[float] = Setting(
    names=("KUZU_STREAM_STALL_TIMEOUT",),
    parse=parsing.number(0, above=True),
    default="10",
    meaning="seconds after which a reader that takes nothing loses its result",
)
SANDBOX: Setting[SandboxMode] = Setting(
    names=("KUZU_SANDBOX",),
    parse=parsing.choice(get_args(SandboxMode)),
    default="auto",
    meaning="confinement of workers: auto (as much as the kernel can), required (else no start) or off",
)
SPARE_WORKER: Setting[bool] = Setting(
    names=("KUZU_SPARE_WORKER",),
    parse=parsing.boolean,
    default="true",
    meaning="a worker is kept ready (60 MB), so that a closed database opens in 0.1 s instead of 0.4",
)
IDLE_EVICT: Setting[float] = Setting(
    names=("KUZU_IDLE_EVICT_SECONDS",),
    parse=parsing.number(0, above=True),
    default="900",
    meaning="seconds without a statement after which a database closes; the next query opens it again",
)
CHECKPOINT_WAL: Setting[int] = Setting(
    names=("KUZU_CHECKPOINT_WAL_MB",),
    parse=parsing.whole(1),
    default="16",
    meaning="a checkpoint is due when the log reaches min(max(this, file / 10 without reflink), 64 MB, pool / 8)",
)
QUARANTINE: Setting[float] = Setting(
    names=("KUZU_QUARANTINE_SECONDS",),
    parse=parsing.number(0),
    default="60",
    meaning="seconds for which a statement that has killed its worker twice is refused",
)
UNDELIVERED: Setting[int] = Setting(
    names=("KUZU_UNDELIVERED_MB",),
    parse=parsing.whole(1),
    shown="a quarter of the pool",
    meaning="results of one database that wait for their readers",
)

MAX_SESSIONS: Setting[int] = Setting(
    names=("KUZU_MAX_SESSIONS_PER_DB",),
    parse=parsing.whole(0),
    default="100",
    meaning="open WebSocket sessions of one database; the next is answered 503",
)
TRANSACTION_IDLE: Setting[float] = Setting(
    names=("KUZU_TRANSACTION_IDLE_TIMEOUT",),
    parse=parsing.number(0, above=True),
    default="30",
    meaning="seconds without a message after which a session's transaction is rolled back",
)
TRANSACTION_LONGEST: Setting[float] = Setting(
    names=("KUZU_TRANSACTION_MAX_SECONDS",),
    parse=parsing.number(0, above=True),
    default="300",
    meaning="seconds after which a session's transaction is rolled back, whatever it does",
)

MAX_QUERY_LENGTH: Setting[int] = Setting(
    names=("KUZU_MAX_QUERY_LENGTH",),
    parse=parsing.whole(1),
    shown="by tier",
    meaning="characters of a Cypher text, as sent",
)
MAX_NESTING: Setting[int] = Setting(
    names=("KUZU_MAX_NESTING",),
    parse=parsing.whole(1),
    default="64",
    meaning="depth of brackets in a text and of parameters; the engine cannot be stopped while it parses",
)
MAX_CASE_DEPTH: Setting[int] = Setting(
    names=("KUZU_MAX_CASE_DEPTH",), parse=parsing.whole(1), default="10", meaning="depth of CASE in CASE"
)
MAX_TOKENS: Setting[int] = Setting(
    names=("KUZU_MAX_TOKENS",), parse=parsing.whole(1), default="20000", meaning="tokens of a Cypher text"
)
MAX_PARAMETER_BYTES: Setting[int] = Setting(
    names=("KUZU_MAX_PARAMETER_BYTES",),
    parse=parsing.size,
    default="8 MiB",
    meaning="size of the parameters of a statement",
)

SLOW_QUERY: Setting[float] = Setting(
    names=("KUZU_SLOW_QUERY_MS",),
    parse=parsing.number(0),
    default="1000",
    meaning="milliseconds after which a query is logged as slow",
)
LOG_LEVEL: Setting[str] = Setting(
    names=("LOG_LEVEL",), parse=parsing.choice(LEVELS), default="INFO", meaning=f"{', '.join(LEVELS[:-1])} or CRITICAL"
)
LOG_FORMAT: Setting[LogFormat] = Setting(
    names=("KUZU_LOG_FORMAT",),
    parse=parsing.choice(get_args(LogFormat)),
    shown="json, text on a terminal",
    meaning="json (one object a line) or text",
)

SECTIONS: dict[str, tuple[Setting[Any], ...]] = {
    "The node": (DATABASE_PATH, HOST, PORT, NODE_TYPE, TIER, INSTANCE_ID, ENVIRONMENT),
    "Requests": (
        *(API_KEY, API_KEY_FILE, PUBLIC_METRICS, MAX_REQUEST_SIZE, MAX_HEADER_SIZE, MAX_PATH_LENGTH, BODY_IDLE),
        *(CORS_ORIGINS, DRAIN, ADMISSION_MEMORY, ADMISSION_CPU),
    ),
    "Databases and their workers": (
        *(MAX_DATABASES, MAX_MEMORY, MEMORY_PER_DB, MAX_DB_SIZE, SLOTS, QUEUE_TIMEOUT, QUEUE_LENGTH, QUERY_TIMEOUT),
        *(
            CHUNK_SIZE,
            KILL_GRACE,
            STALL_TIMEOUT,
            SANDBOX,
            SPARE_WORKER,
            IDLE_EVICT,
            CHECKPOINT_WAL,
            QUARANTINE,
            UNDELIVERED,
        ),
    ),
    "Sessions": (MAX_SESSIONS, TRANSACTION_IDLE, TRANSACTION_LONGEST),
    "Limits of the screen": (MAX_QUERY_LENGTH, MAX_NESTING, MAX_CASE_DEPTH, MAX_TOKENS, MAX_PARAMETER_BYTES),
    "Logs": (SLOW_QUERY, LOG_LEVEL, LOG_FORMAT),
}
EVERY_SETTING: tuple[Setting[Any], ...] = tuple(setting for section in SECTIONS.values() for setting in section)
