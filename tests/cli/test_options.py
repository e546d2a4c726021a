from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from kuzu_node.cli.options import ServingGroup, by_name, setting_options
from kuzu_node.config.settings import EVERY_SETTING


@click.group(cls=ServingGroup)
def group() -> None:
    pass


@group.command()
@setting_options
def serve(**given: str | None) -> None:
    click.echo(repr(sorted(by_name(given).items())))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], []),
        (["--base-path", "D", "--port", "1"], [("KUZU_DATABASE_PATH", "D"), ("KUZU_PORT", "1")]),
        (["serve", "--cluster-tier", "shared"], [("WRITER_TIER", "shared")]),
        (["--public-metrics"], [("KUZU_PUBLIC_METRICS", "true")]),
        (["--public-metrics", "--port", "1"], [("KUZU_PORT", "1"), ("KUZU_PUBLIC_METRICS", "true")]),
        (["--public-metrics", "false"], [("KUZU_PUBLIC_METRICS", "false")]),
    ],
)
def test_options_are_settings_by_their_names(arguments: list[str], found: list[tuple[str, str]]) -> None:
    result = CliRunner().invoke(group, arguments)
    assert result.output == repr(found) + "\n"


def test_every_setting_but_a_secret_has_an_option_of_its_own() -> None:
    options = [option for setting in EVERY_SETTING for option in setting.options]
    assert len(set(options)) == len(options)
    assert [setting.name for setting in EVERY_SETTING if not setting.options] == ["KUZU_API_KEY"]
