"""Five questions worth asking of the flights."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class Question:
    """`streamed`: the answer is counted as it comes, not shown."""

    title: str
    cypher: str
    parameters: dict[str, Any] = attrs.field(factory=dict)
    streamed: bool = False


QUESTIONS = (
    Question(
        "The busiest routes",
        "MATCH (a:Airport)-[r:ROUTE]->(b:Airport) "
        "RETURN a.faa AS origin, b.faa AS dest, b.name AS airport, r.flights AS flights ORDER BY flights DESC LIMIT 5",
    ),
    Question(
        "Delays by carrier",
        "MATCH (f:Flight)-[:OPERATED_BY]->(c:Airline) WHERE f.arr_delay IS NOT NULL "
        "RETURN c.name AS carrier, count(*) AS flights, round(avg(f.arr_delay), 1) AS mean_minutes_late, "
        "round(100.0 * sum(CASE WHEN f.arr_delay > 30 THEN 1 ELSE 0 END) / count(*), 1) AS percent_over_30 "
        "ORDER BY mean_minutes_late DESC LIMIT 6",
    ),
    Question(
        "The fewest flights between Anchorage and Key West",
        "MATCH p = (a:Airport {faa: $from})-[:ROUTE* SHORTEST 1..6]-(b:Airport {faa: $to}) "
        "RETURN length(p) AS flights, list_transform(nodes(p), x -> x.faa) AS stops LIMIT 3",
        {"from": "ANC", "to": "EYW"},
    ),
    Question(
        "Every flight with its ends, streamed",
        "MATCH (a:Airport)<-[:DEPARTS]-(f:Flight)-[:ARRIVES]->(b:Airport) "
        "RETURN f.id AS id, f.scheduled AS scheduled, a.faa AS origin, b.faa AS dest, f.arr_delay AS arr_delay",
        streamed=True,
    ),
    Question(
        "One flight by its number",
        "MATCH (p:Plane)<-[:FLOWN_WITH]-(f:Flight {id: $id})-[:ARRIVES]->(b:Airport) "
        "RETURN f.id AS id, f.scheduled AS scheduled, b.name AS dest, p.manufacturer AS manufacturer, p.model AS model",
        {"id": 200_000},
    ),
)
