"""The node's settings: a tree of frozen classes, built once. Nothing else in the package reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping

from kuzu_node.config.load import load, read_key_file
from kuzu_node.config.machine import Machine
from kuzu_node.config.values import (
    ConfigurationError,
    EngineConfig,
    Environment,
    HttpConfig,
    Identity,
    LogConfig,
    LogFormat,
    NodeConfig,
    NodeType,
    SandboxMode,
    ScreenConfig,
    Tier,
)

__all__ = [
    "ConfigurationError",
    "EngineConfig",
    "Environment",
    "HttpConfig",
    "Identity",
    "LogConfig",
    "LogFormat",
    "Machine",
    "NodeConfig",
    "NodeType",
    "SandboxMode",
    "ScreenConfig",
    "Tier",
    "from_process",
    "load",
    "read_key_file",
    "warnings",
]


def from_process(options: Mapping[str, str] | None = None) -> NodeConfig:
    """The configuration of this process, its command line given by the names of settings.

    Raises ConfigurationError.
    """
    return load(os.environ, options)


def warnings(config: NodeConfig) -> list[str]:
    """Sentences for the start: promises that the machine cannot keep, settings without effect, open doors."""
    return list(config.notes)
