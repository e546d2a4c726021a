from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from kuzu_node.cli import check
from kuzu_node.cli.check import Grade
from kuzu_node.config import Machine, SandboxMode, load

ENGINE = load({}, machine=Machine(memory_mb=20_000, host_name="here", terminal=False)).engine
PROBE = {"engine_version": "0.11.3", "storage_version": 39, "landlock_abi": 7, "seccomp": True}


@pytest.mark.parametrize(
    ("landlock", "mode", "grade"),
    [(7, "auto", Grade.OK), (0, "auto", Grade.WARNING), (0, "required", Grade.ERROR), (7, "off", Grade.WARNING)],
)
def test_a_missing_sandbox_is_as_bad_as_it_was_asked_for(landlock: int, mode: SandboxMode, grade: Grade) -> None:
    assert check.check_sandbox({**PROBE, "landlock_abi": landlock}, mode).grade is grade


def test_another_engine_is_an_error() -> None:
    assert check.check_engine(PROBE).grade is Grade.OK
    assert check.check_engine({**PROBE, "engine_version": "0.11.2"}).grade is Grade.ERROR


def test_a_worker_that_does_not_run_is_an_error_with_its_reason() -> None:
    probe = check.probe_worker("/bin/false")
    assert check.check_engine(probe).grade is Grade.ERROR
    assert "ended with 1" in check.check_engine(probe).text
    assert "does not start" in check.check_engine(check.probe_worker("/no/such/python")).text


def test_too_few_open_files_are_a_warning() -> None:
    few = check.check_descriptors(ENGINE, 256)
    assert few.grade is Grade.WARNING
    assert "ulimit -n" in few.text
    assert check.check_descriptors(ENGINE, 65_536).grade is Grade.OK
    assert check.check_descriptors(ENGINE, -1).grade is Grade.OK


def test_more_memory_promised_than_there_is_now_is_a_warning() -> None:
    promised = attrs.evolve(ENGINE, max_memory_mb=1000)
    assert check.check_memory(promised, 900 << 20).grade is Grade.WARNING
    assert check.check_memory(promised, 1100 << 20).grade is Grade.OK


def test_a_small_send_buffer_is_a_note(tmp_path: Path) -> None:
    file = tmp_path / "wmem_max"
    file.write_text("212992\n")
    assert check.check_send_buffer(file).grade is Grade.NOTE
    file.write_text("4194304\n")
    assert check.check_send_buffer(file).grade is Grade.OK
    assert check.check_send_buffer(tmp_path / "none").grade is Grade.NOTE
