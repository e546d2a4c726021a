"""Options made from the table of settings, and a group that serves when no command is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kuzu_node.config import parsing
from kuzu_node.config.setting import Setting
from kuzu_node.config.settings import EVERY_SETTING

F = TypeVar("F", bound=Callable[..., Any])


class ServingGroup(click.Group):
    """`kuzu-node --port 8001` is `kuzu-node serve --port 8001`."""

    own = ("--help", "--version")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in self.own):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


def setting_options(command: F) -> F:
    """An option for each setting that may stand on a command line; the command gets the texts as `**given`."""
    for setting in reversed(EVERY_SETTING):
        if setting.options:
            click.option(*setting.options, parameter(setting), **presentation(setting))(command)
    return command


def presentation(setting: Setting[Any]) -> dict[str, Any]:
    shown = setting.shown or setting.default
    text = {"help": f"{setting.meaning} [{setting.name}; default: {shown}]", "metavar": "TEXT"}
    if setting.parse is parsing.boolean:
        # Without a value the option says yes, as people expect of a switch.
        return {**text, "is_flag": False, "flag_value": "true", "metavar": "[true|false]"}
    return text


def parameter(setting: Setting[Any]) -> str:
    return setting.name.lower()


def by_name(given: dict[str, str | None]) -> dict[str, str]:
    """What was given on the command line, by the names of settings, as `load` takes it."""
    return {name.upper(): text for name, text in given.items() if text is not None}
