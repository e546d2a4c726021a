"""Texts that try to leave the database, and honest ones that look like them.

The screen must refuse the former with 403, and the sandbox must hold them off with the screen switched off. `{secret}`
is a readable CSV file outside of the database's directory, `{outside}` a writable directory there, `{other}` another
tenant's database file. The graph is that of SCHEMA.
"""

from __future__ import annotations

import attrs

SCHEMA = (
    "CREATE NODE TABLE Person(id INT64 PRIMARY KEY, name STRING, age INT32, copy STRING, load STRING)",
    "CREATE NODE TABLE Load(id INT64 PRIMARY KEY, export STRING)",
    "CREATE NODE TABLE Item(id INT32 PRIMARY KEY, call STRING)",
    "CREATE REL TABLE Knows(FROM Person TO Person, since INT64)",
    "CREATE SEQUENCE ids",
    "CREATE (:Person {id: 1, name: 'Ann', age: 30}), (:Person {id: 2, name: 'Bob', age: 40})",
    "CREATE (:Load {id: 1, export: 'x'})",
    "CREATE (:Item {id: 1, call: 'y'})",
    "MATCH (a:Person {id: 1}), (b:Person {id: 2}) CREATE (a)-[:Knows {since: 2020}]->(b)",
)


@attrs.frozen
class Attack:
    """`leaves` says that the engine itself would do what the text asks for: the sandbox has to hold it."""

    name: str
    text: str
    leaves: bool = True

    def filled(self, *, secret: str, outside: str, other: str) -> str:
        return self.text.replace("{secret}", secret).replace("{outside}", outside).replace("{other}", other)


ATTACKS = (
    Attack("load from", "LOAD FROM '{secret}' RETURN *"),
    Attack("load from, lower case", "load from '{secret}' return *"),
    Attack("load from, double quotes", 'LOAD FROM "{secret}" RETURN *'),
    Attack("load from, comment between", "LOAD/**/FROM/* x */'{secret}' RETURN *"),
    Attack("load from, line comment between", "LOAD // x\n FROM '{secret}' RETURN *"),
    Attack("load from, no-break space", "LOAD\u00a0FROM\u3000'{secret}' RETURN\u2028*"),
    Attack("load from, vertical tab and separators", "LOAD\x0bFROM\x1c'{secret}'\x1fRETURN *"),
    Attack("load from, odd comment", "/***/ */LOAD FROM '{secret}' RETURN *"),
    Attack(
        "load from behind a comment that is not closed for others",
        "RETURN 1 /***/ ' /* */ AS a UNION LOAD FROM '{secret}' RETURN column0 AS a //'",
    ),
    Attack("load from, glob", "LOAD FROM glob('{outside}/*.csv') RETURN *"),
    Attack("load from, list", "LOAD FROM ['{secret}', '{secret}'] RETURN *"),
    Attack("load from, options", "LOAD FROM '{secret}' (header=false, delim='|') RETURN *"),
    Attack("load with headers", "LOAD WITH HEADERS (a STRING) FROM '{secret}' RETURN *"),
    Attack("load from the environment", "LOAD FROM '/proc/self/environ' (file_format='csv') RETURN *"),
    Attack("load from a web address", "LOAD FROM 'http://127.0.0.1:9/x.csv' RETURN *"),
    Attack("load from a name of the process", "LOAD FROM rows RETURN *", leaves=False),
    Attack("load from a parameter", "LOAD FROM $rows RETURN *", leaves=False),
    Attack("load from a function", "LOAD FROM READ_PANDAS(rows) RETURN *", leaves=False),
    Attack("load behind match", "MATCH (n:Person) LOAD FROM '{secret}' RETURN *"),
    Attack("load behind where", "MATCH (n:Person) WHERE n.id = 1 LOAD FROM '{secret}' RETURN *"),
    Attack("load behind with", "WITH 1 AS load LOAD FROM '{secret}' RETURN *"),
    Attack("load behind unwind as load", "UNWIND [1] AS load LOAD FROM '{secret}' RETURN *"),
    Attack("load in a union", "RETURN 'a' AS column0 UNION ALL LOAD FROM '{secret}' RETURN column0"),
    Attack("load in a copy", "COPY Load FROM (LOAD FROM '{secret}' RETURN 9, column0)"),
    Attack("load later in a copy", "COPY Load FROM (UNWIND [9] AS i LOAD FROM '{secret}' RETURN i, column0)"),
    Attack("load in create as", "CREATE NODE TABLE Stolen AS LOAD FROM '{secret}' RETURN *"),
    Attack(
        "load in create as, later",
        "CREATE NODE TABLE Stolen AS MATCH (n:Load) LOAD FROM '{secret}' RETURN n.id, column0",
    ),
    Attack("load explained", "EXPLAIN LOAD FROM '{secret}' RETURN *"),
    Attack("load explained logically", "EXPLAIN LOGICAL LOAD FROM '{secret}' RETURN *"),
    Attack("load profiled", "PROFILE LOAD FROM '{secret}' RETURN *"),
    Attack("load as the second statement", "RETURN 1; LOAD FROM '{secret}' RETURN *"),
    Attack("load behind a string with a semicolon", "RETURN ';\\''; LOAD FROM '{secret}' RETURN *"),
    Attack("load behind an honest string", "RETURN '/*' AS a UNION LOAD FROM '{secret}' RETURN column0 AS a"),
    Attack("load behind a quoted name", "RETURN 1 AS `'` UNION LOAD FROM '{secret}' RETURN 2 AS `'`"),
    Attack("load an extension", "LOAD EXTENSION '{outside}/evil.so'"),
    Attack("load an extension, short", "LOAD '{outside}/evil.so'"),
    Attack("load an extension by name", "LOAD httpfs"),
    Attack("install", "INSTALL httpfs"),
    Attack("install from", "INSTALL httpfs FROM 'http://127.0.0.1:9/'"),
    Attack("force install", "FORCE INSTALL httpfs FROM 'http://127.0.0.1:9/'"),
    Attack("uninstall", "UNINSTALL httpfs"),
    Attack("update", "UPDATE httpfs"),
    Attack("attach", "ATTACH '{other}' AS theirs (dbtype kuzu)"),
    Attack("attach, comment first", "/* MATCH */ ATTACH '{other}' (dbtype kuzu)"),
    Attack("detach", "DETACH theirs", leaves=False),
    Attack("detach a database named delete", "DETACH DELETE", leaves=False),
    Attack("use", "USE theirs", leaves=False),
    Attack("export", "EXPORT DATABASE '{outside}/dump'"),
    Attack("export with options", "EXPORT DATABASE '{outside}/dump' (format='csv')"),
    Attack("export explained", "EXPLAIN EXPORT DATABASE '{outside}/dump'"),
    Attack("import", "IMPORT DATABASE '{outside}/dump'"),
    Attack("copy from a file", "COPY Load FROM '{secret}'"),
    Attack("copy from a file with columns", "COPY Load(id, export) FROM '{secret}' (header=false)"),
    Attack("copy from a list of files", "COPY Load FROM ['{secret}', '{secret}']"),
    Attack("copy from a glob", "COPY Load FROM glob('{outside}/*.csv')"),
    Attack("copy by column", "COPY Load FROM ('{secret}', '{secret}') BY COLUMN"),
    Attack("copy from a name of the process", "COPY Load FROM rows", leaves=False),
    Attack("copy from a parameter", "COPY Load FROM $rows", leaves=False),
    Attack("copy from an attached table", "COPY Load FROM theirs.Load", leaves=False),
    Attack("copy from a function", "COPY Load FROM READ_PANDAS(rows)", leaves=False),
    Attack("copy into a table called from", "COPY `FROM` FROM '{secret}'"),
    Attack("copy from a file explained", "EXPLAIN COPY Load FROM '{secret}'"),
    Attack("copy to", "COPY (MATCH (n:Person) RETURN n.id) TO '{outside}/out.csv'"),
    Attack("copy to, no spaces", "COPY(MATCH (n:Person) RETURN n.id)TO'{outside}/out.parquet'", leaves=False),
    Attack("copy to, profiled", "PROFILE COPY (MATCH (n:Person) RETURN n.id) TO '{outside}/out.json'"),
    Attack("setting", "CALL timeout = 0", leaves=False),
    Attack("setting, no spaces", "CALL timeout=0", leaves=False),
    Attack("setting, quoted name", "CALL `timeout` = 0", leaves=False),
    Attack("setting, comment between", "CALL/**/enable_multi_writes/**/=/**/true", leaves=False),
    Attack("setting of a path", "CALL home_directory = '{outside}'", leaves=False),
    Attack("setting explained", "EXPLAIN CALL timeout = 0", leaves=False),
    Attack("function that kills", "CALL READ_CSV_SERIAL('{secret}') RETURN *", leaves=False),
    Attack("function that kills, in a query", "MATCH (n:Person) CALL READ_PARQUET('{secret}') RETURN *", leaves=False),
    Attack("function in a subquery", "COPY Load FROM (CALL JSON_SCAN('{secret}') RETURN *)", leaves=False),
    Attack("function in create as", "CREATE NODE TABLE Stolen AS CALL READ_NPY('{secret}') RETURN *", leaves=False),
    Attack("function behind unwind as call", "UNWIND [1] AS call CALL READ_PARQUET('{secret}') RETURN *", leaves=False),
    Attack("function in a union", "RETURN 1 AS a UNION CALL bm_info() RETURN mem_limit AS a", leaves=False),
    Attack("function, quoted name", "CALL `show_functions`() RETURN *", leaves=False),
    Attack("function, settings", "CALL current_setting('home_directory') RETURN *", leaves=False),
    Attack("function, attached databases", "CALL show_attached_databases() RETURN *", leaves=False),
    Attack("function, unknown", "CALL no_such_function() RETURN *", leaves=False),
    Attack("stopwords from a file", "CALL CREATE_FTS_INDEX('Person', 'i', ['name'], stopwords := '{secret}')"),
    Attack(
        "stopwords from a file, quoted option",
        "CALL CREATE_FTS_INDEX('Person', 'i', ['name'], `StopWords` := '{secret}')",
    ),
    Attack(
        "stopwords from a file, in pieces",
        "CALL CREATE_FTS_INDEX('Person', 'i', ['name'], stopwords := concat('{secret}', ''))",
    ),
    Attack(
        "index name that is Cypher",
        "CALL CREATE_FTS_INDEX('Person', 'x`; LOAD FROM \"{secret}\" RETURN *; //', ['name'])",
        leaves=False,
    ),
    Attack(
        "projected graph from a file", "CALL PROJECT_GRAPH_CYPHER('g', 'LOAD FROM \"{secret}\" RETURN *')", leaves=False
    ),
    Attack("projected graph", "CALL PROJECT_GRAPH('g', ['Person'], ['Knows'])", leaves=False),
    Attack("macro", "CREATE MACRO plus(a, b) AS a + b", leaves=False),
    Attack("macro, profiled", "PROFILE CREATE MACRO plus(a) AS a", leaves=False),
    Attack("user", "CREATE USER eve WITH PASSWORD 'x'", leaves=False),
    Attack("role", "CREATE ROLE eve", leaves=False),
    Attack("begin", "BEGIN TRANSACTION", leaves=False),
    Attack("begin read only", "begin transaction read only", leaves=False),
    Attack("commit", "COMMIT", leaves=False),
    Attack("commit behind a write", "CREATE (:Load {id: 5}); COMMIT; LOAD FROM '{secret}' RETURN *"),
    Attack("rollback", "ROLLBACK", leaves=False),
    Attack("checkpoint", "CHECKPOINT", leaves=False),
    Attack("checkpoint, empty statements first", ";;; CHECKPOINT ;", leaves=False),
)


@attrs.frozen
class Honest:
    """A text that the screen passes and the engine runs on the graph of SCHEMA; `kind` is a value of `Kind`."""

    text: str
    kind: str = "read"
    parameters: dict[str, object] = attrs.field(factory=dict)


HONEST = (
    Honest("MATCH (n:Load) RETURN n.export AS attach"),
    Honest("MATCH (load:Load) RETURN load.export AS export"),
    Honest("MATCH (copy:Person)-[use:Knows]-(load) RETURN copy.copy, use.since, load"),
    Honest("MATCH (n:`Load`) RETURN n.`export` AS `LOAD FROM 'x'`"),
    Honest("RETURN 'LOAD FROM \\'/etc/passwd\\' RETURN *; COMMIT' AS checkpoint"),
    Honest('RETURN "it\'s; CALL x = 1" AS import'),
    Honest("/* LOAD FROM 'x' */ RETURN 1 // COPY T TO 'x'"),
    Honest("RETURN 1 /* a * b ; */ AS begin; // ;"),
    Honest("MATCH (call:Item) RETURN call.call AS call"),
    Honest("MATCH (i:Item) WHERE i.call CONTAINS ('y') RETURN i.call"),
    Honest("UNWIND [1] AS call MATCH (n:Person) RETURN call"),
    Honest("UNWIND [1, 2] AS load WITH load AS headers RETURN headers"),
    Honest("WITH 1 AS load RETURN load"),
    Honest("MATCH (n:Person) WITH n.load AS `from` RETURN `from`"),
    Honest("MATCH (set:Person) RETURN set.name AS delete"),
    Honest("MATCH (n:Person) RETURN n.id AS set ORDER BY set"),
    Honest("MATCH (n:Person) WHERE n.name = $detach RETURN n", "read", {"detach": "LOAD FROM '/etc/passwd'"}),
    Honest("RETURN {load: 1, call: 2, export: 3}.call AS commit"),
    Honest("CALL show_tables() RETURN *"),
    Honest("CALL `table_info`('Person') RETURN name"),
    Honest("EXPLAIN MATCH (n:Person) RETURN n"),
    Honest("EXPLAIN LOGICAL MATCH (n:Person) RETURN n"),
    Honest("PROFILE MATCH (n:Person) RETURN n"),
    Honest("OPTIONAL MATCH (n:Person {id: 77}) RETURN n"),
    Honest("MATCH (a:Person)-[r:Knows*1..3]->(b) RETURN count(*)"),
    Honest("MATCH (a:Person)\u2010[r:Knows]\u2010\uff1e(b) RETURN r.since"),
    Honest("MATCH (n:Person) WHERE EXISTS { MATCH (n)-[:Knows]->() } RETURN n.id AS exists ORDER BY exists"),
    Honest("RETURN 1 AS order, 2 AS desc, 3 AS end"),
    Honest("WITH 1 AS table, 2 AS group RETURN table + group AS default ORDER BY default DESC"),
    Honest("UNWIND [3, 1] AS desc RETURN desc ORDER BY desc DESC"),
    Honest("WITH 1 AS as RETURN as"),
    Honest("RETURN CAST(1 AS STRING) AS union UNION RETURN 'b' AS union"),
    Honest("RETURN CASE WHEN true THEN 1 END AS case"),
    Honest("RETURN nextval('ids')", "write"),
    Honest("RETURN `nextval`('ids')", "write"),
    Honest("RETURN currval('ids') AS nextval"),
    Honest("MATCH (n:Person {id: 1}) SET n.name = 'Eve'", "write"),
    Honest("WITH 1 AS as MATCH (n:Person) SET n.copy = 'z'", "write"),
    Honest("MERGE (n:Load {id: 3}) ON CREATE SET n.export = 'c' ON MATCH SET n.export = 'm'", "write"),
    Honest("CREATE (n:Load {id: 4}) RETURN n", "write"),
    Honest("MATCH (n:Load {id: 4}) DETACH DELETE n", "write"),
    Honest("EXPLAIN CREATE (n:Load {id: 44})", "write"),
    Honest("CREATE NODE TABLE Copy(id INT64 PRIMARY KEY, load STRING)", "ddl"),
    Honest("CREATE NODE TABLE IF NOT EXISTS Copy(id INT64 PRIMARY KEY, load STRING)", "ddl"),
    Honest("CREATE REL TABLE Uses(FROM Load TO Copy, FROM Copy TO Load)", "ddl"),
    Honest("CREATE SEQUENCE call START 5", "ddl"),
    Honest("ALTER TABLE Copy ADD call INT64 DEFAULT 3", "ddl"),
    Honest("ALTER TABLE Copy RENAME call TO attach", "ddl"),
    Honest("COMMENT ON TABLE Copy IS 'COPY (x) TO y'", "ddl"),
    Honest("ALTER TABLE Copy DROP attach", "drop_column"),
    Honest("ALTER TABLE Copy DROP IF EXISTS nothing", "drop_column"),
    Honest("COPY Load FROM (UNWIND [100, 101] AS i RETURN i, 'e')", "bulk_copy"),
    Honest("COPY Load(id) FROM (MATCH (n:Load) RETURN n.id + 1000)", "bulk_copy"),
    Honest("CREATE NODE TABLE Made AS MATCH (n:Load) RETURN n.id", "bulk_table"),
    Honest("CREATE REL TABLE MadeTo(FROM Load TO Load) AS MATCH (a:Load), (b:Load) RETURN a.id, b.id", "bulk_table"),
    Honest("CALL CREATE_FTS_INDEX('Item', 'words', ['call'])", "bulk_index"),
    Honest("CALL QUERY_FTS_INDEX('Item', 'words', 'load from \\'x\\'') RETURN node.id, score"),
    Honest("CALL DROP_FTS_INDEX('Item', 'words')", "bulk_index"),
    Honest("DROP SEQUENCE call", "ddl"),
    Honest("DROP TABLE Uses", "ddl"),
)
