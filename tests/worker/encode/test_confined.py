"""The encoders need no file once they are imported and warm: workers lose the installation's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kuzu_node.worker import sandbox

ROOT = Path(__file__).parents[3]

CODE = """
import sys
sys.path.insert(0, {root!r})
from kuzu_node.worker import sandbox
sandbox.restrict_to_installation({base!r})
from kuzu_node.worker import warmup
from kuzu_node.worker.encode import FORMS, Envelope, encode
from pathlib import Path
warmup.warm_up(Path({base!r}))
import kuzu
before = set(sys.modules)
sandbox.restrict_to_directory({base!r})
sandbox.forbid_system_calls()
database = kuzu.Database({base!r} + "/graph.kuzu", buffer_pool_size=64 << 20, max_db_size=1 << 30)
connection = kuzu.Connection(database)
for literal in {literals!r}:
    for count in (1, 200, 1200):
        for form in FORMS:
            result = connection.execute(f"UNWIND range(1, {{count}}) AS i RETURN {{literal}} AS v, i")
            for _ in encode(result, form, Envelope("d", 0.0, 1000)):
                pass
print(sorted(set(sys.modules) - before))
"""


@pytest.mark.skipif(not sandbox.probe().complete, reason="this kernel cannot confine a worker")
def test_every_type_and_form_is_written_inside_the_sandbox(tmp_path: Path) -> None:
    literals = [
        *("true", "1", "0.5", "CAST(0.5 AS FLOAT)", "'x'", "date('2024-01-01')", "date('20000-01-01')"),
        *("timestamp('2024-01-01 00:00:00.5')", "CAST('2024-01-01 02:00:00+02' AS TIMESTAMP_TZ)"),
        *("CAST('2024-01-01 00:00:00.5' AS TIMESTAMP_NS)", "interval('1 day')", "CAST(1.5 AS DECIMAL(18, 3))"),
        *("CAST(7 AS INT128)", "UUID('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11')", "BLOB('\\\\xAAab')", "[1, null]"),
        *("{a: 1}", "map(['a'], [1])", "map([[1]], [1])", "CAST([1, 2] AS INT64[2])", "union_value(a := 1)"),
        *("[union_value(a := timestamp('2024-01-01 00:00:00'))]", "union_value(a := CAST(1.5 AS DECIMAL(9, 2)))"),
        "union_value(a := CAST('2024-01-01 02:00:00+02' AS TIMESTAMP_TZ))",
    ]
    code = CODE.format(root=str(ROOT), base=str(tmp_path), literals=literals)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "[]\n"), ended.stderr
