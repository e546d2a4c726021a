"""Turns decoded JSON into the attrs models of the contract, strictly: every fault is reported with its path."""

from __future__ import annotations

import heapq
import itertools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn

from kuzu_node.errors import Fault, InvalidBody

T = TypeVar("T")

IGNORED_FIELDS: Final = ("database", "pipeline_run_id")
# A body may hold a million mistakes; nobody reads so many, and telling them all would stop the loop for seconds.
MOST_FAULTS: Final = 20
LONGEST_NAME: Final = 200


class WrongValue(ValueError):
    """A value of the right type that a field does not take; raised by the models' validators."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Bodies:
    """Reads request bodies into models."""

    def __init__(self) -> None:
        converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
        converter.register_structure_hook_factory(attrs.has, lambda model: _object_reader(model, converter))
        converter.register_structure_hook_func(_is_mapping, _read_mapping)
        converter.register_structure_hook_func(_is_literal, _read_literal)
        converter.register_structure_hook_factory(_is_array, lambda kind: _array_reader(kind, converter))
        for kind, read in ((str, _read_text), (bool, _read_flag), (int, _read_integer), (float, _read_number)):
            converter.register_structure_hook(kind, read)
        self._converter = converter

    def read(self, document: Any, model: type[T]) -> T:
        """`document` as a `model`. Raises InvalidBody."""
        if isinstance(document, dict):
            known = attrs.fields_dict(model)  # type: ignore[arg-type]
            for name in IGNORED_FIELDS:
                if name in document and name not in known:
                    del document[name]
        try:
            return self._converter.structure(document, model)
        except cattrs.BaseValidationError as error:
            faults = tuple(itertools.islice(_faults(error, ""), MOST_FAULTS))
        except TypeError as error:
            faults = (Fault("$", str(error)),)
        raise InvalidBody("; ".join(f"{fault.path} {fault.message}" for fault in faults), faults=faults)


Reader = Callable[[Any, Any], Any]


def _object_reader(model: type, converter: cattrs.Converter) -> Reader:
    """Reads an object; a member that is null counts as absent."""
    read: Reader = make_dict_structure_fn(model, converter)

    def read_object(value: Any, kind: Any) -> Any:
        if type(value) is not dict:
            raise TypeError("must be an object")
        if None in value.values():
            value = {name: member for name, member in value.items() if member is not None}
        return read(value, kind)

    return read_object


def _array_reader(kind: Any, converter: cattrs.Converter) -> Reader:
    kind_of_list = types.GenericAlias(list, get_args(kind)[:1])
    read_list = converter.get_structure_hook(kind_of_list)

    def read_array(value: Any, _: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise TypeError("must be an array")
        # In parts, up to the first that is wrong: an error costs a hundred times what a value costs.
        found: list[Any] = []
        for start in range(0, len(value), MOST_FAULTS):
            try:
                found += read_list(value[start : start + MOST_FAULTS], kind_of_list)
            except cattrs.IterableValidationError as error:
                for inner in error.exceptions:
                    inner.__notes__ = [_shifted(note, start) for note in inner.__notes__]
                raise
        return tuple(found)

    return read_array


def _origin(kind: Any) -> Any:
    return get_origin(kind)


def _is_mapping(kind: Any) -> bool:
    return _origin(kind) is Mapping


def _is_literal(kind: Any) -> bool:
    return _origin(kind) is Literal


def _is_array(kind: Any) -> bool:
    return _origin(kind) is tuple


def _read_mapping(value: Any, _: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise TypeError("must be an object")
    return value


def _read_literal(value: Any, kind: Any) -> Any:
    choices = get_args(kind)
    if type(value) is not str or value not in choices:
        raise TypeError("must be " + " or ".join(choices))
    return value


def _read_text(value: Any, _: Any) -> str:
    if type(value) is not str:
        raise TypeError("must be a string")
    return value


def _read_flag(value: Any, _: Any) -> bool:
    if type(value) is not bool:
        raise TypeError("must be true or false")
    return value


def _read_integer(value: Any, _: Any) -> int:
    if type(value) is not int:
        raise TypeError("must be an integer")
    return value


def _read_number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError("must be a number")
    return float(value)


def _faults(error: BaseException, path: str) -> Iterator[Fault]:
    """The faults below one error of cattrs, whose notes say where in the document it happened."""
    path += "".join(_step(note, path) for note in getattr(error, "__notes__", ()))
    if isinstance(error, cattrs.BaseValidationError):
        for inner in error.exceptions:
            yield from _faults(inner, path)
    elif isinstance(error, cattrs.ForbiddenExtraKeysError):
        for name in heapq.nsmallest(MOST_FAULTS, error.extra_fields):
            yield Fault(_join(path, name[:LONGEST_NAME]), "is not a known field")
    elif isinstance(error, WrongValue):
        yield Fault(_join(path, error.field), str(error))
    elif isinstance(error, KeyError):
        yield Fault(path or "$", "is required")
    else:
        yield Fault(path or "$", str(error))


def _shifted(note: str, by: int) -> str:
    if isinstance(note, cattrs.IterableValidationNote) and isinstance(note.index, int):
        return cattrs.IterableValidationNote(note, note.index + by, note.type)
    return note


def _step(note: object, path: str) -> str:
    if isinstance(note, cattrs.IterableValidationNote):
        return f"[{note.index}]"
    if isinstance(note, cattrs.AttributeValidationNote):
        return f".{note.name}" if path else note.name
    return ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
