"""Packages that only some calls need, imported by those calls: the client itself stays light."""

from __future__ import annotations

import importlib
from typing import Any


def required(package: str, call: str) -> Any:
    """The module. Raises ImportError that says what to install."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        name = package.partition(".")[0]
        raise ImportError(f"{call} needs the package {name}: pip install {name}", name=name) from error
