"""What visitors may not say, taken out before anything else looks at a request. Pure; `kernel/steering.py` has the list."""

from typing import Any

from gantry.kernel import steering

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3"


def removed(*, trusted: bool) -> Json:
    """Takes all of it out.

    Parameters:
        trusted: a trusted proxy is at the other end of the connection.
    """
    families = [{"prefix": family, "ignore_case": True} for family in steering.FAMILIES]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}.HeaderMutation",
            "mutations": [
                *({"remove": name} for name in steering.removed(trusted=trusted)),
                *({"remove_on_match": {"key_matcher": family}} for family in families),
            ],
        },
    }
