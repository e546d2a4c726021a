"""The route table: every method and path of the node, what it must pass, who answers, and how it is described."""

from __future__ import annotations

from typing import Any, Final

from kuzu_node.http import answers, models, node_answers
from kuzu_node.http.handlers import databases, metrics, node, query, rows, schema, session, transaction
from kuzu_node.http.policy import Access, Body, Policy
from kuzu_node.http.route import Doc, Route

PUBLIC: Final = Policy(access=Access.PUBLIC)
PUBLIC_METRICS: Final = Policy(access=Access.METRICS)
KEYED: Final = Policy()
PAGE: Final = Policy(access=Access.PUBLIC, produces=("text/html",))
CREATE: Final = Policy(body=Body.JSON, takes_work=True)
DELETE: Final = Policy(takes_work=True)
QUERY: Final = Policy(body=Body.JSON, takes_work=True, is_statement=True, produces=())
STATEMENTS: Final = Policy(body=Body.JSON, takes_work=True, is_statement=True)
UPLOAD: Final = Policy(body=Body.STREAM, takes_work=True, is_statement=True)

FLAG: Final[dict[str, Any]] = {"type": "boolean", "default": False}
STREAMING: Final = {"streaming": {**FLAG, "description": "NDJSON, whatever Accept says"}}
PURGE: Final = {"purge": {**FLAG, "description": "remove the files at once"}}
LOADING: Final[dict[str, dict[str, Any]]] = {
    "ignore_errors": {**FLAG, "description": "skip rows that do not fit, and report them"},
    "match": {"type": "string", "enum": ["name", "position"], "default": "name"},
    "header": {"type": "boolean", "default": True, "description": "CSV: the first line has the names"},
    "delimiter": {"type": "string", "minLength": 1, "maxLength": 1, "default": ",", "description": "CSV"},
}
ROWS: Final = Doc(
    summary="Append rows to a table, all or nothing",
    answer=answers.RowsAnswer,
    request_media=tuple(rows.FORMATS),
    query=LOADING,
)

ROUTES: Final = (
    Route("GET", "/health", node.health, PUBLIC, Doc(summary="Health", answer=node_answers.HealthAnswer)),
    Route("GET", "/status", node.status, PUBLIC, Doc(summary="Short status", answer=node_answers.StatusAnswer)),
    Route(
        "GET",
        "/status/databases",
        node.database_states,
        PUBLIC_METRICS,
        Doc(summary="State of every database", answer=node_answers.DatabaseStates),
    ),
    Route(
        "GET",
        "/info",
        node.info,
        PUBLIC_METRICS,
        Doc(summary="What the node is and how it is configured", answer=node_answers.InfoAnswer),
    ),
    Route(
        "GET", "/metrics", metrics.metrics, PUBLIC_METRICS, Doc(summary="Metrics", answer=node_answers.MetricsAnswer)
    ),
    Route("GET", "/openapi.json", node.openapi, PUBLIC, Doc(summary="This description")),
    Route("GET", "/docs", node.docs, PAGE, Doc(summary="This description as a page", answer_media=("text/html",))),
    Route("POST", "/admin/drain", node.drain, KEYED, Doc(summary="Take no new work", answer=node_answers.DrainAnswer)),
    Route(
        "DELETE", "/admin/drain", node.undrain, KEYED, Doc(summary="Take work again", answer=node_answers.DrainAnswer)
    ),
    Route(
        "GET",
        "/admin/connections",
        node.connections,
        KEYED,
        Doc(summary="Connections in use", answer=node_answers.ConnectionsAnswer),
    ),
    Route(
        "POST",
        "/admin/databases/{graph_id}/reopen",
        node.reopen,
        KEYED,
        Doc(summary="Try a failed or degraded database again now", answer=answers.Reopened),
    ),
    Route(
        "GET",
        "/databases",
        databases.list_databases,
        KEYED,
        Doc(summary="All databases and the room for more", answer=answers.DatabaseList),
    ),
    Route(
        "POST",
        "/databases",
        databases.create_database,
        CREATE,
        Doc(
            summary="Create a database with its schema, all or nothing",
            request=models.CreateDatabaseBody,
            answer=answers.CreatedDatabase,
            status=201,
        ),
    ),
    Route(
        "GET",
        "/databases/{graph_id}",
        databases.get_database,
        KEYED,
        Doc(summary="One database", answer=answers.DatabaseAnswer),
    ),
    Route(
        "DELETE",
        "/databases/{graph_id}",
        databases.delete_database,
        DELETE,
        Doc(summary="Delete a database", answer=answers.DeletedDatabase, query=PURGE),
    ),
    Route(
        "GET",
        "/databases/{graph_id}/schema",
        schema.get_schema,
        KEYED,
        Doc(summary="Tables and their columns", answer=answers.SchemaAnswer),
    ),
    Route(
        "POST",
        "/databases/{graph_id}/schema",
        schema.change_schema,
        STATEMENTS,
        Doc(
            summary="Add to the schema, in one transaction",
            request=models.SchemaBody,
            answer=answers.SchemaChange,
        ),
    ),
    Route(
        "GET",
        "/databases/{graph_id}/metrics",
        databases.database_metrics,
        KEYED,
        Doc(summary="Size of a database", answer=answers.DatabaseMetrics),
    ),
    Route(
        "POST",
        "/databases/{graph_id}/query",
        query.run_query,
        QUERY,
        Doc(
            summary="Run a Cypher text",
            request=models.QueryBody,
            answer=answers.QueryAnswer,
            answer_media=tuple(query.OFFERS)[1:],
            query=STREAMING,
        ),
    ),
    Route(
        "POST",
        "/databases/{graph_id}/transaction",
        transaction.run_transaction,
        STATEMENTS,
        Doc(
            summary="Run statements that commit together or not at all",
            request=models.TransactionBody,
            answer=answers.TransactionAnswer,
        ),
    ),
    Route(
        "GET",
        "/databases/{graph_id}/session",
        session.open_session,
        KEYED,
        Doc(summary="A WebSocket for queries and transactions, with the subprotocol kuzu.v1", status=101),
    ),
    Route("POST", "/databases/{graph_id}/tables/{table}/rows", rows.load_rows, UPLOAD, ROWS),
    Route("PUT", "/databases/{graph_id}/tables/{table}/rows", rows.load_rows, UPLOAD, ROWS),
)
