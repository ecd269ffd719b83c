"""The JSON schema of gantry.toml, for editors."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gantry.config.manifest import ENVIRONMENTS, Manifest
from gantry.config.rules import WEB_ONLY
from gantry.config.sections import OVERRIDES

DIALECT = GenerateJsonSchema.schema_dialect


def manifest_schema() -> dict[str, Any]:
    """What a gantry.toml may contain, as JSON Schema 2020-12.

    Rules between keys are not in it; `gantry plan` checks them.
    """
    schema = Manifest.model_json_schema()
    definitions = schema["$defs"]
    for definition in (schema, *definitions.values()):
        for name, value in definition.get("properties", {}).items():
            _tidy(name, value)
    _allow_false(definitions["Processes"]["properties"]["web"])
    _allow_flag(definitions["Services"]["properties"]["redis"])
    _add_worker(definitions)
    _allow_other_spellings(definitions)
    _close_environments(schema["properties"]["environments"])
    schema["description"] = schema["description"].partition("\n")[0]
    return {"$schema": DIALECT, **schema, "title": "gantry.toml"}


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(name: str, value: dict[str, Any]) -> None:
    """TOML has no null, and a title that repeats the key says nothing."""
    value.pop("title", None)
    if OVERRIDES in value:
        value["$ref"] = f"#/$defs/{value.pop(OVERRIDES)}"
        del value["type"]
    if "default" in value and value["default"] in (None, {}):
        del value["default"]
    choices = [choice for choice in value.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del value["anyOf"]
        value.update({key: item for key, item in choices[0].items() if key not in value})


def _allow_false(web: dict[str, Any]) -> None:
    web["anyOf"] = [{"$ref": web.pop("$ref")}, {"const": False}]


def _allow_flag(redis: dict[str, Any]) -> None:
    redis["anyOf"] = [{"$ref": redis.pop("$ref")}, {"type": "boolean"}]


def _add_worker(definitions: dict[str, Any]) -> None:
    """A worker is a long-running process without what only the web process has."""
    process = definitions["LongRunning"]
    hidden = {keys[0] for keys in WEB_ONLY if len(keys) == 1}
    properties = {key: item for key, item in process["properties"].items() if key not in hidden}
    properties["command"] = {
        "type": "string",
        "description": "What starts it, in a shell, in the product's folder.",
        "examples": ["node workers/mail.mjs"],
    }
    definitions["Worker"] = {
        **process,
        "title": "Worker",
        "description": "A process in the background. It runs in the live release only.",
        "properties": properties,
    }
    definitions["Processes"]["properties"]["worker"]["additionalProperties"] = {
        "$ref": "#/$defs/Worker"
    }


def _allow_other_spellings(definitions: dict[str, Any]) -> None:
    """What the models understand before they are typed: Vercel's words, and `processes."worker.NAME"`."""
    definitions["Processes"]["patternProperties"] = {
        r"^worker\.": {"$ref": "#/$defs/Worker"},
        r"^cron\.": {"$ref": "#/$defs/Cron"},
    }
    definitions["Redirect"]["properties"] |= {
        "permanent": {
            "description": "Vercel's word: true is 308, false is 307.",
            "type": "boolean",
        },
        "statusCode": {"description": "Vercel's word for status.", "type": "integer"},
    }
    headers = definitions["HeaderRule"]["properties"]["headers"]
    table = {
        "type": headers.pop("type"),
        "additionalProperties": headers.pop("additionalProperties"),
    }
    text = {"type": "string"}
    pair = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"key": text, "value": text},
        "required": ["key", "value"],
    }
    headers["anyOf"] = [table, {"type": "array", "items": pair}]


def _close_environments(environments: dict[str, Any]) -> None:
    environments["propertyNames"] = {"enum": list(ENVIRONMENTS)}
