from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kuzu_node.config.__main__ import main
from kuzu_node.config.document import DOCUMENT, document
from kuzu_node.config.later import LATER
from kuzu_node.config.settings import EVERY_SETTING

REPOSITORY = Path(__file__).parents[2]


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (REPOSITORY / DOCUMENT).read_text(encoding="utf-8")
    assert written == document(), "run `python -m kuzu_node.config --write-docs`"


def test_every_name_is_listed_once() -> None:
    lines = [line for line in document().splitlines() if line.startswith("| `")]
    names = [name for setting in EVERY_SETTING for name in setting.names] + [later.name for later in LATER]
    assert len(set(names)) == len(names)
    for name in names:
        assert sum(f"`{name}`" in line.split(" | ")[0] for line in lines) == 1, name


def test_the_page_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--write-docs"]) == 0
    assert (tmp_path / DOCUMENT).read_text(encoding="utf-8") == document()


def test_an_unknown_argument_is_refused() -> None:
    done = subprocess.run([sys.executable, "-m", "kuzu_node.config", "--wrong"], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 2
