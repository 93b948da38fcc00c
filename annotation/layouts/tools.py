"""Calls of tools in conversations, in the spellings of ShareGPT and OpenAI. Pure."""

from typing import Any

import orjson

from annotation.records import Message

# ShareGPT's words for the model's call and for what came back.
CALLS = ("function_call", "function-call", "tool_call")
RESULTS = ("observation", "function_response", "tool_response", "function", "ipython")


def call(content: Any) -> Message | None:
    """The assistant's turn that calls what the text describes; None if it describes no call."""
    try:
        found = orjson.loads(content) if isinstance(content, str) else content
    except orjson.JSONDecodeError:
        return None
    calls = found if isinstance(found, list) else [found]
    if not calls or not all(isinstance(one, dict) and one.get("name") for one in calls):
        return None
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "type": "function",
                "function": {
                    "name": one["name"],
                    "arguments": one.get("arguments", one.get("parameters", {})),
                },
            }
            for one in calls
        ],
    }


def tools(value: Any) -> list[Any] | None:
    """The list of tools that a column holds, as it is or as JSON text; None if it is none."""
    try:
        found = orjson.loads(value) if isinstance(value, str) else value
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, list) else None
