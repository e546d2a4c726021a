"""The engine's words, measured with Kuzu 0.11.3: what is reserved, what CALL may name, what to use instead."""

from __future__ import annotations

# Names that the grammar does not take bare, not even after AS. All other keywords are names too.
RESERVED = frozenset(
    """ACYCLIC ALL AND ANY ASC ASCENDING CASE CAST COLUMN COMMIT_SKIP_CHECKPOINT CREATE DBTYPE DEFAULT DESC DESCENDING
    DISTINCT ELSE END ENDS EXISTS FALSE GLOB GROUP HEADERS HINT IN INSTALL JOIN MACRO MULTI_JOIN NONE NOT NULL ON ONLY
    OPTIONAL OR ORDER PRIMARY PROFILE ROLLBACK_SKIP_CHECKPOINT SHORTEST SINGLE STARTS TABLE THEN TRAIL TRUE UNION UNWIND
    WHEN WHERE WITH WSHORTEST XOR""".split()
)

# Table functions that only look: catalog and statistics, graph algorithms on a projected graph, index look-ups.
READING_CALLS = frozenset(
    """DB_VERSION FSM_INFO SHOW_CONNECTION SHOW_INDEXES SHOW_SEQUENCES SHOW_TABLES SHOW_WARNINGS STATS_INFO STORAGE_INFO
    TABLE_INFO
    KCORE K_CORE_DECOMPOSITION LOUVAIN PAGE_RANK PR SCC SCC_KO STRONGLY_CONNECTED_COMPONENTS
    STRONGLY_CONNECTED_COMPONENTS_KOSARAJU WCC WEAKLY_CONNECTED_COMPONENTS
    PROJECTED_GRAPH_INFO SHOW_PROJECTED_GRAPHS
    QUERY_FTS_INDEX QUERY_VECTOR_INDEX""".split()
)
# All of them refuse an open transaction or write what the log does not hold.
INDEX_CALLS = frozenset({"CREATE_FTS_INDEX", "CREATE_VECTOR_INDEX", "DROP_FTS_INDEX", "DROP_VECTOR_INDEX"})
GRAPH_CALLS = frozenset({"PROJECT_GRAPH", "PROJECT_GRAPH_CYPHER", "DROP_PROJECTED_GRAPH"})

# Keywords that may follow a variable or property called `call` where the engine would otherwise read a function's name.
AFTER_A_NAME = frozenset("CONTAINS DELETE DETACH IS LIMIT LOAD MATCH MERGE RETURN SET SKIP YIELD".split())

FILES = "send rows to PUT /databases/{id}/tables/{table}/rows"
_ROWS = "ask for the rows with Accept: text/csv, application/x-ndjson or an Arrow stream"
_TRANSACTION = "use /databases/{id}/transaction, or begin, commit and rollback in a session"
_EXTENSION = "the extensions ALGO, FTS, JSON and VECTOR are built in, others cannot be added"

FORBIDDEN_HEADS = {
    "ATTACH": "ATTACH opens other files: a database is queried at its own /databases/{id}/query",
    "BEGIN": f"BEGIN is not taken in a text: {_TRANSACTION}",
    "CHECKPOINT": "CHECKPOINT is not taken in a text: the node checkpoints by itself",
    "COMMIT": f"COMMIT is not taken in a text: {_TRANSACTION}",
    "COMMIT_SKIP_CHECKPOINT": f"COMMIT is not taken in a text: {_TRANSACTION}",
    "DETACH": "DETACH of a database is refused: only this database is ever open here",
    "EXPORT": f"EXPORT DATABASE writes files: {_ROWS}",
    "FORCE": f"INSTALL is refused: {_EXTENSION}",
    "IMPORT": f"IMPORT DATABASE reads files: {FILES}",
    "INSTALL": f"INSTALL is refused: {_EXTENSION}",
    "LOAD": f"LOAD reads files or code: {FILES}; {_EXTENSION}",
    "ROLLBACK": f"ROLLBACK is not taken in a text: {_TRANSACTION}",
    "ROLLBACK_SKIP_CHECKPOINT": f"ROLLBACK is not taken in a text: {_TRANSACTION}",
    "UNINSTALL": f"UNINSTALL is refused: {_EXTENSION}",
    "UPDATE": f"UPDATE of an extension is refused: {_EXTENSION}",
    "USE": "USE is refused: a database is queried at its own /databases/{id}/query",
}
FORBIDDEN_CREATES = {
    "MACRO": "CREATE MACRO is refused: put the expression into the query",
    "ROLE": "CREATE ROLE is refused: access is by the node's keys",
    "USER": "CREATE USER is refused: access is by the node's keys",
}
COPY_TO = f"COPY TO writes files: {_ROWS}"
COPY_FROM = (
    "COPY FROM takes a subquery here, as in COPY T FROM (MATCH ..), never a file, a table in memory or a function: "
    f"{FILES}"
)
LOAD_FROM = f"LOAD FROM reads files: {FILES}"
CALL_SETTING = "CALL name = value changes the engine's settings: use the request's own fields, such as timeout"
CALL_FUNCTION = (
    "CALL {name} is not among the functions a text may call: show_tables, table_info, storage_info, stats_info, "
    "fsm_info, show_connection, show_indexes, show_sequences, show_warnings, db_version, the graph algorithms, and "
    "those of full-text and vector indexes; for the schema use GET /databases/{{id}}/schema"
)
CALL_GRAPH = (
    "CALL {name} is refused here: a projected graph belongs to one connection of the engine; open a session, which "
    "keeps one, at /databases/{{id}}/session"
)
INDEX_TEXT = (
    "CALL {name} takes plain names here: letters, digits, spaces, - and _ in its strings, and for stopwords the name "
    "of a table of this database, not of a file"
)
GRAPH_TEXT = "CALL {name} takes plain strings whose text is itself a reading query or condition of this database"
