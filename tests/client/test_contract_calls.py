"""The calls of programs that were written for the client before this one: their words, in their order, with their
defaults. What is here more than there is behind it, or by keyword.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from kuzu_client import AsyncKuzuClient, KuzuClient, aio, answers

# As the contract has them; `*` begins what is passed by keyword.
CALLS = """
health_check
get_info
get_metrics
query cypher graph_id=None parameters=None streaming=False timeout=None read_only=False
execute_query cypher params=None
execute_single cypher params=None
execute_ddl ddl graph_id=None
node_exists label filters=None
create_database graph_id schema_type='entity' repository_name=None custom_schema_ddl=None is_subgraph=False
list_databases
get_database graph_id
get_database_info graph_id
delete_database graph_id
database_exists graph_id
ensure_database_exists graph_id schema_type='entity'
get_schema graph_id=None
install_schema graph_id base_schema='base' extensions=None custom_ddl=None
get_database_metrics graph_id
copy_from_s3 graph_id s3_pattern table_name ignore_errors=True s3_credentials=None
ingest graph_id file_path=None table_name=None pipeline_run_id=None bucket=None files=None mode='sync' priority=5 \
ignore_errors=True
ingest_with_sse graph_id table_name s3_pattern s3_credentials=None ignore_errors=True timeout=14400
create_backup graph_id backup_format='full_dump' compression=True encryption=False
backup_with_sse graph_id backup_format='full_dump' compression=True encryption=False timeout=3600
download_backup graph_id
export_database graph_id path=None
restore_backup graph_id backup_data create_system_backup=True force_overwrite=False
restore_with_sse graph_id backup_data create_system_backup=True force_overwrite=False timeout=3600
get_task_status task_id
list_tasks status=None limit=100
cancel_task task_id
get_queue_info
wait_for_task task_id
monitor_task task_id
__init__ base_url=None api_key=None config=None * graph_id=None
"""
NAMED = [line.split() for line in CALLS.strip().splitlines()]
# What `await` is not said to: they are iterated, or made.
NOT_AWAITED = {"monitor_task", "__init__"}


def words(method: Any) -> list[str]:
    """The parameters behind `self`, as the lines above have them."""
    told, keywords = [], False
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            told.append("**")
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            told.append("*")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        told.append(parameter.name + default)
    return told


@pytest.mark.parametrize("client", [AsyncKuzuClient, KuzuClient])
@pytest.mark.parametrize(("name", "wanted"), [(name, wanted) for name, *wanted in NAMED], ids=[n for n, *_ in NAMED])
def test_old_calls_mean_what_they_meant(client: type, name: str, wanted: list[str]) -> None:
    found = words(getattr(client, name))
    assert found[: len(wanted)] == wanted
    assert all("=" in word or word.startswith("*") for word in found[len(wanted) :])


@pytest.mark.parametrize("name", [name for name, *_ in NAMED])
def test_old_calls_are_awaited_in_the_async_client_alone(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AsyncKuzuClient, name)) is (name not in NOT_AWAITED)
    assert not inspect.iscoroutinefunction(getattr(KuzuClient, name))


def test_the_constructor_takes_settings_by_keyword() -> None:
    assert words(AsyncKuzuClient.__init__)[-1] == words(KuzuClient.__init__)[-1] == "**"
    assert aio.KuzuClient is AsyncKuzuClient


def test_both_clients_have_the_same_methods() -> None:
    def methods(client: type) -> dict[str, list[str]]:
        return {
            name: words(method) for name, method in inspect.getmembers(client, inspect.isfunction) if name[0] != "_"
        }

    other = methods(AsyncKuzuClient)
    del other["session"]
    other["close"] = other.pop("aclose")
    assert methods(KuzuClient) == other


def test_no_key_of_the_contract_is_hidden_by_a_method_of_mappings() -> None:
    """`answer.items` would be the method, and no program would notice before it ran."""
    keys = {name for kind in vars(answers).values() if isinstance(kind, type) for name in kind.__annotations__}
    assert len(keys) > 40
    assert not {key for key in keys if hasattr(dict, key)}
