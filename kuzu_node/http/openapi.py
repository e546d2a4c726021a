"""The OpenAPI 3.1 description, generated from the route table and the attrs models of bodies and answers."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec
from msgspec import UnsetType

from kuzu_node.http.answers import Problem
from kuzu_node.http.models import GRAPH_NAME
from kuzu_node.http.policy import Access
from kuzu_node.http.route import Doc, Route
from kuzu_node.http.version import VERSION

PARAMETER: Final = re.compile(r"{(\w+)}")
PRIMITIVES: Final[dict[Any, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    types.NoneType: "null",
}
SECURITY_SCHEMES: Final = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Kuzu-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
ACCESS: Final[dict[Access, list[dict[str, list[str]]]]] = {
    Access.PUBLIC: [],
    Access.METRICS: [{}, {"key": []}, {"bearer": []}],
    Access.KEY: [{"key": []}, {"bearer": []}],
}


def openapi_document(routes: Iterable[Route]) -> bytes:
    """The description of `routes` as JSON."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route, schemas)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "kuzu-node", "version": VERSION, "description": "Graph databases over HTTP."},
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": SECURITY_SCHEMES},
    }
    return msgspec.json.encode(document)


class _Schemas:
    """JSON schemas of types; those of attrs classes become components."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        if kind is Any:
            return {}
        if kind in PRIMITIVES:
            return {"type": PRIMITIVES[kind]}
        if attrs.has(kind):
            return self._reference(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin is tuple:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is Mapping:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin in (Union, types.UnionType):
            return self._union([argument for argument in arguments if argument is not UnsetType])
        raise TypeError(f"no JSON schema for {kind!r}")

    def _union(self, kinds: list[Any]) -> dict[str, Any]:
        if len(kinds) == 1:
            return self.of(kinds[0])
        if all(kind in PRIMITIVES for kind in kinds):
            return {"type": [PRIMITIVES[kind] for kind in kinds]}
        return {"anyOf": [self.of(kind) for kind in kinds]}

    def _reference(self, model: type[attrs.AttrsInstance]) -> dict[str, Any]:
        name = model.__name__
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self._object(model)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, model: type[attrs.AttrsInstance]) -> dict[str, Any]:
        hints = get_type_hints(model)
        properties: dict[str, Any] = {}
        required: list[str] = []
        for field in attrs.fields(model):
            properties[field.name] = self._property(hints[field.name], field)
            if field.default is attrs.NOTHING and UnsetType not in get_args(hints[field.name]):
                required.append(field.name)
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if "__doc__" in vars(model) and model.__doc__ and not model.__doc__.startswith("Method generated"):
            schema["description"] = " ".join(model.__doc__.split())
        return schema

    def _property(self, kind: Any, field: attrs.Attribute[Any]) -> dict[str, Any]:
        schema = self.of(kind)
        if isinstance(field.default, str | bool):
            schema = {**schema, "default": field.default}
        if field.name == "graph_id" and field.validator is not None:
            schema = {**schema, "pattern": f"^{GRAPH_NAME.pattern}$"}
        return schema


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    doc = route.doc
    operation: dict[str, Any] = {
        "summary": doc.summary,
        "operationId": f"{route.method.lower()}_{route.handler.__name__}",
        "security": ACCESS[route.policy.access],
        "parameters": _parameters(route),
        "responses": {
            str(doc.status): _answer(doc, schemas),
            "default": {
                "description": "A problem",
                "content": {"application/problem+json": {"schema": schemas.of(Problem)}},
            },
        },
    }
    content: dict[str, Any] = {media: {} for media in doc.request_media}
    if doc.request is not None:
        content["application/json"] = {"schema": schemas.of(doc.request)}
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(doc: Doc, schemas: _Schemas) -> dict[str, Any]:
    if doc.status == 101:
        return {"description": "The protocol changes"}
    content: dict[str, Any] = {}
    if doc.answer is not None:
        content["application/json"] = {"schema": schemas.of(doc.answer)}
    content.update({media: {} for media in doc.answer_media})
    return {"description": "Done", "content": content or {"application/json": {}}}


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _path_schema(name)}
        for name in PARAMETER.findall(route.template)
    ]
    for name, schema in route.doc.query.items():
        parameters.append({"name": name, "in": "query", "schema": dict(schema)})
    return parameters


def _path_schema(name: str) -> dict[str, str]:
    if name == "graph_id":
        return {"type": "string", "pattern": f"^{GRAPH_NAME.pattern}$"}
    return {"type": "string"}
