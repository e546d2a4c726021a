"""The options that every command has; they may stand before the command or behind it."""

from __future__ import annotations

from typing import Any, Final

import attrs
import click

from kuzu_client.config import address

DEFAULT_URL: Final = "http://127.0.0.1:8001"
_META: Final = "kuzu_client.cli"


@attrs.frozen(kw_only=True)
class Settings:
    """`timeout` in seconds; None leaves it to the configuration."""

    url: str
    api_key: str | None = attrs.field(repr=False)
    timeout: float | None = None
    as_json: bool = False
    no_color: bool = False

    @classmethod
    def from_context(cls, ctx: click.Context) -> Settings:
        given = ctx.meta.get(_META, {})
        try:
            url, key = address(given.get("url"), given.get("api_key"))
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        return cls(
            url=url or DEFAULT_URL,
            api_key=key,
            timeout=given.get("timeout"),
            as_json=given.get("as_json", False),
            no_color=given.get("no_color", False),
        )


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    # Shared by the context of the group and that of its command, whose options come later and win.
    if value not in (None, False):
        ctx.meta.setdefault(_META, {})[parameter.name] = value


def common_options() -> list[click.Parameter]:
    """For each command, and for the group."""
    seconds = click.FloatRange(min=0, min_open=True)
    return [
        _option("--url", metavar="URL", help=f"The node. [KUZU_API_URL; default: {DEFAULT_URL}]"),
        _option("--api-key", metavar="KEY", help="Better in KUZU_API_KEY: others see the command line."),
        _option("--timeout", type=seconds, metavar="SECONDS", help="For the node and its answer."),
        _option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        _option("--no-color", is_flag=True, help="No colours; so does NO_COLOR in the environment."),
    ]


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)
