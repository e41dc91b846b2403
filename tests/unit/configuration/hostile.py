"""Files that are no configuration, each with a part of the one sentence that refuses it."""

import json
from typing import Any

AGENT: dict[str, Any] = {
    "agent_class": "Deduplicator",
    "module_path": "streamapp.agents.deduplicator",
    "capabilities": ["stream_processing"],
    "input_schema": "Order",
    "output_schema": "Order",
    "configuration": {"key": "title", "window_seconds": 60},
}
KEY = "sk-51Hx"


def agent(**fields: Any) -> bytes:
    """A file with one agent, some of whose fields are others."""
    return json.dumps({"data_agents": {"once": {**AGENT, **fields}}}).encode()


def provider(**fields: Any) -> bytes:
    """A file with one provider."""
    return json.dumps({"data_providers": {"models": {"kind": "openai", **fields}}}).encode()


def pipeline(
    stages: list[dict[str, Any]], *, code: dict[str, Any] | None = None, **fields: Any
) -> bytes:
    """A file with one pipeline and an agent, or two."""
    declared = {"source": "orders", "stages": stages, **fields}
    agents = {"once": AGENT} if code is None else {"once": AGENT, "code": code}
    return json.dumps({"data_agents": agents, "data_pipelines": {"orders": declared}}).encode()


def nested(levels: int) -> Any:
    """Combinators within one another."""
    return "once" if not levels else {"chain": ["once", nested(levels - 1)]}


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", ":1:1: the file is empty"),
    "only space": (b" \n ", "the file is empty"),
    "array": (b"[]", "give an object"),
    "cut off": (b'{"data_agents": {', "a name in double quotes is missing"),
    "unclosed string": (b'{"cli_settings', "the closing quote of this string is missing"),
    "two documents": (b"{}\n{}", ":2:1: the document has ended, but more follows"),
    "comment": (b"{\n  // mine\n}", ":2:3: a name in double quotes is missing"),
    "last comma": (b'{"cli_settings": {},}', ":1:20: the last comma is one too many"),
    "python": (b"{'cli_settings': None}", "a name in double quotes is missing"),
    "not a number": (b'{"x-a": NaN}', "is not written as JSON"),
    "infinite": (b'{"x-a": 1e999}', "this number is too large"),
    "million digits": (b'{"x-a": ' + b"9" * 1_000_000 + b"}", "has more than 300 digits"),
    "octal": (b'{"x-a": 0755}', "is not written as JSON"),
    "duplicate section": (
        b'{"cli_settings": {},\n "cli_settings": {}}',
        ":2:2: the key 'cli_settings' occurs twice",
    ),
    "duplicate key by an escape": (b'{"x-a": 1, "x-\\u0061": 2}', "the key 'x-a' occurs twice"),
    "utf-16": ("{}".encode("utf-16"), "written in UTF-16"),
    "byte order mark": (
        b"\xef\xbb\xbf{}",
        "(BOM), three bytes before the text: save it as UTF-8 without",
    ),
    "latin-1": (b'{\n"x-a": "\xe9"}', ":2:9: this is not UTF-8"),
    "overlong utf-8": (b'{"x-a": "\xc0\xaf"}', "this is not UTF-8"),
    "half a surrogate pair": (b'{"x-a": "\\ud800"}', "half of a surrogate pair"),
    "control character": (b'{"x-a": "\x00"}', "has a control character"),
    "deep arrays": (b'{"x-a": ' + b"[" * 100_000, "deeper than 64 levels"),
    "deep objects": (b'{"x":' * 100_000, "deeper than 64 levels"),
    "unknown section": (
        b'{"data_agent": {}}',
        "data_agent: there is no such section; did you mean",
    ),
    "unknown setting": (
        b'{"cli_settings": {\n  "log_levl": "INFO"}}',
        ":2:3: cli_settings.log_levl: there is no such field; did you mean 'log_level'?",
    ),
    "text for a boolean": (b'{"cli_settings": {"auto_save": "yes"}}', "cli_settings.auto_save: "),
    "no days": (
        b'{"data_monitoring": {"metrics_retention_days": 0}}',
        "greater than or equal to 1",
    ),
    "section of another kind": (b'{"data_agents": []}', "data_agents: give an object"),
    "null for a section": (b'{"cli_settings": null}', "cli_settings: give an object"),
    "agent of another kind": (b'{"data_agents": {"a": 1}}', "data_agents.a: give an object"),
    "pipeline of another kind": (
        b'{"data_pipelines": {"a": 1}}',
        "data_pipelines.a: give an object, {...}",
    ),
    "dotted walk": (agent(agent_class="os.system"), "give one name without dots or colons"),
    "traversal": (agent(module_path="streamapp.agents/../../evil"), "give the dotted name"),
    "relative module": (agent(module_path="..evil"), "give the dotted name of a module"),
    "another id": (agent(agent_id="twice"), "agent_id: leave it out, or repeat 'once'"),
    "misspelt capability": (agent(capabilities=["data_validaton"]), "mean 'data_validation'?"),
    "agent without a schema": (agent(input_schema=""), "give the name of a schema"),
    "file that allows imports to itself": (
        b'{"allowed_packages": ["os"]}',
        ":1:2: allowed_packages: a file cannot allow imports to itself; take it out, and allow",
    ),
    "key in the file": (agent(configuration={"api_key": KEY}), "a file holds no secrets"),
    "key in a header": (
        agent(configuration={"headers": {"Authorization": KEY}}),
        "once.configuration.headers.Authorization: a file holds no secrets",
    ),
    "password in an address": (
        agent(configuration={"urls": [f"https://me:{KEY}@host"]}),
        "configuration.urls[0]: a file holds no secrets",
    ),
    "configuration that is a key": (agent(configuration=KEY), "configuration: give an object"),
    "key for its variable": (provider(key_from_environment=KEY), "never the key itself"),
    "key as a field": (provider(api_key=KEY), "api_key: there is no such field"),
    "password of a provider": (
        provider(base_url=f"https://me:{KEY}@host"),
        "give an address without user, password and query",
    ),
    "file as an address": (provider(base_url="file:///etc/passwd"), "begins with http:// or https"),
    "limit below one": (provider(limits={"calls_per_minute": 0}), "limits.calls_per_minute"),
    "unknown provider": (
        agent(configuration={"provider": "model"}),
        "configuration.provider: there is no provider 'model'",
    ),
    "pipeline without a stage": (pipeline([]), "stages: give at least 1, not 0"),
    "pipeline of one capability": (
        pipeline([{"capability": "stream_processing"}]),
        "data_pipelines.orders: give the agent of the only stage; agents are chosen for a seq",
    ),
    "stage of nothing": (pipeline([{}, {"agent": "once"}]), "give an agent or a capability"),
    "unknown field of a stage": (
        pipeline([{"agent": "once", "polcy": 1}, {"agent": "once"}]),
        "data_pipelines.orders.stages[0].polcy: there is no such field",
    ),
    "unknown agent of a stage": (
        pipeline([{"agent": "once"}, {"agent": "onze"}]),
        "stages[1].agent: there is no agent 'onze'; did you mean 'once'?",
    ),
    "unknown agent left out": (
        pipeline([{"agent": "once"}, {"agent": "once"}], exclude=["two"]),
        "data_pipelines.orders.exclude[0]: there is no agent 'two'",
    ),
    "key in a stage": (
        pipeline([{"agent": "once", "configuration": {"token": KEY}}, {"agent": "once"}]),
        "stages[0].configuration.token: a file holds no secrets",
    ),
    "policy that needs more": (
        pipeline([{"agent": "once", "error_policy": "retry_later"}]),
        "stages[0]: retry_later has no delays",
    ),
    "policy that never ends": (
        pipeline([{"agent": "once", "then": "retry"}]),
        "stages[0]: `then` of retry takes stop, skip, dead_letter or drop",
    ),
    "misspelt policy": (
        pipeline([{"agent": "once", "error_policy": "retri"}]),
        "stages[0].error_policy: should be 'stop', 'skip', 'retry'",
    ),
    "exception that would be imported": (
        pipeline([{"agent": "once", "by_exception": {"os.system": {"error_policy": "drop"}}}]),
        "stages[0].by_exception.os.system: there is no exception 'os.system' to choose from",
    ),
    "unknown field of a breaker": (
        pipeline([{"agent": "once", "breaker": {"eror_rate": 1}}]),
        "stages[0].breaker.eror_rate: there is no such field; did you mean 'error_rate'?",
    ),
    "breaker that never opens": (
        pipeline([{"agent": "once", "breaker": {"window_calls": 1}}]),
        "stages[0].breaker: breaker: window_calls is 1",
    ),
    "number as a text": (
        pipeline([{"agent": "once", "concurrency": "9"}]),
        "stages[0].concurrency: should be a valid integer",
    ),
    "composition of nothing": (
        pipeline([{"agent": {}}]),
        "stages[0].agent: give the id of an agent, or an object with agent, branch, chain",
    ),
    "unknown field of a composition": (
        pipeline([{"agent": {"pool": ["once"], "capacty": 2, "capacity": 1}}]),
        "stages[0].agent.capacty: there is no such field; did you mean 'capacity'?",
    ),
    "unknown agent of a composition": (
        pipeline([{"agent": {"chain": ["once", {"fallback": ["once", "onze"]}]}}]),
        "agent.chain[1].fallback[1]: there is no agent 'onze'; did you mean 'once'?",
    ),
    "dotted agent of a composition": (
        pipeline([{"agent": {"chain": ["once", "os.system"]}}]),
        "agent.chain[1]: there is no agent 'os.system'",
    ),
    "key in a composition": (
        pipeline([{"agent": {"agent": "once", "configuration": {"token": KEY}}}]),
        "agent.configuration.token: a file holds no secrets",
    ),
    "two combinators in one": (
        pipeline([{"agent": {"chain": ["once", "once"], "pool": ["once"]}}]),
        "stages[0].agent.pool: there is no such field",
    ),
    "deep composition": (pipeline([{"agent": nested(9)}]), "nested deeper than 8 levels"),
    "composition of very many": (
        pipeline([{"agent": {"chain": [{"chain": ["once"] * 30}] * 3}}]),
        "the stage has more than 64 agents",
    ),
    "chain of very many": (
        pipeline([{"agent": {"chain": ["once"] * 50_000}}]),
        "agent.chain: list should have at most 32 items",
    ),
    "very many stages": (pipeline([{"agent": "once"}] * 1000), "at most 100 items"),
    "rule that is no rule": (
        pipeline(
            [{"agent": {"choose": [{"when": {"rules": []}, "agent": "once"}], "otherwise": "once"}}]
        ),
        "agent.choose[0].when.rules: ",
    ),
    "topic that is no name": (
        pipeline([{"agent": "once", "output": "../out"}]),
        "stages[0].output: the name holds a character that Kafka does not take",
    ),
    "topic declared twice": (
        pipeline([{"agent": "once"}], topics=[{"name": "a", "partitions": 1}] * 2),
        "orders.topics: the topic 'a' is declared twice",
    ),
    "source of nothing": (
        pipeline([{"agent": "once"}], source={}),
        "orders.source: give the name of a topic, or an object with a topic or a pattern",
    ),
    "unknown middleware": (
        pipeline([{"agent": "once"}], middleware=[{"eval": {}}]),
        "middleware[0]: give an object with one of logging, validation, redaction",
    ),
    "schema that looks elsewhere": (
        pipeline(
            [{"agent": "once"}],
            middleware=[{"validation": {"json_schema": {"$ref": "file:///etc/passwd"}}}],
        ),
        "json_schema: it is no JSON schema that can be used",
    ),
    "two schemas of one title": (
        agent(input_schema={"title": "T"}, output_schema={"title": "T", "type": "object"}),
        "once.output_schema: the title 'T' is that of another schema, at data_agents.once.input",
    ),
    "escape sequence in a key": (b'{"\\u001b[2J": 1}', "\\x1b[2J: there is no such section"),
    "new line in an id": (b'{"data_agents": {"a\\nb": 1}}', "a\\nb: give an object"),
    "long key": (b'{"' + b"k" * 1_000_000 + b'": 1}', "kkkk ..."),
}

IMPORTS: dict[str, dict[str, str]] = {
    "os:system": {"module_path": "os", "agent_class": "system"},
    "builtins:eval": {"module_path": "builtins", "agent_class": "eval"},
    "prefix of a package": {"module_path": "streamapp.agents_of_others"},
    "around the package": {"module_path": "streamapp.cli.main"},
    "module that greets": {"module_path": "this", "agent_class": "s"},
    "module that opens a browser": {"module_path": "antigravity", "agent_class": "fly"},
}
"""Fields of agents that may be read, and never imported unless somebody allows it."""
