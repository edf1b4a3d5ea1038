"""The loop of an agent: a call of a tool, its result, the next turn, two hundred times, in a conversation that grows."""

import json

from conftest import MESSAGES, script

TURNS = 200
PARAMETERS = {"type": "object", "properties": {"path": {"type": "string"}}}
SCRIPT = {"tool_turns": TURNS, "tool_call": {"name": "read", "arguments": {"path": "src/grüße.rs"}}, "text": "All read."}


def test_openai(gpt):
    tools = [{"type": "function", "function": {"name": "read", "parameters": PARAMETERS}}]
    messages = list(MESSAGES)
    for turn in range(TURNS):
        # Now and then streamed, as both share the connections; the helper of the SDK is slow.
        ask = {"model": "gpt-4o", "messages": messages, "tools": tools, "extra_headers": script(**SCRIPT)}
        if turn % 10:
            answer = gpt.chat.completions.create(**ask)
        else:
            with gpt.chat.completions.stream(**ask) as stream:
                answer = stream.get_final_completion()
        [call] = answer.choices[0].message.tool_calls
        assert json.loads(call.function.arguments) == {"path": "src/grüße.rs"}
        function = {"name": call.function.name, "arguments": call.function.arguments}
        called = {"id": call.id, "type": "function", "function": function}
        messages.append({"role": "assistant", "tool_calls": [called]})
        messages.append({"role": "tool", "tool_call_id": call.id, "content": f"line {turn}\n" * 5})
    answer = gpt.chat.completions.create(model="gpt-4o", messages=messages, tools=tools, extra_headers=script(**SCRIPT))
    assert answer.choices[0].message.content == "All read."


def test_anthropic(claude):
    tools = [{"name": "read", "input_schema": PARAMETERS}]
    messages = list(MESSAGES)
    ask = {"model": "claude-haiku-4-5-20251001", "max_tokens": 1024, "tools": tools, "extra_headers": script(**SCRIPT)}
    for turn in range(TURNS):
        if turn % 2:
            answer = claude.messages.create(messages=messages, **ask)
        else:
            with claude.messages.stream(messages=messages, **ask) as stream:
                answer = stream.get_final_message()
        [call] = answer.content
        assert (answer.stop_reason, call.input) == ("tool_use", {"path": "src/grüße.rs"})
        used = {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}
        messages.append({"role": "assistant", "content": [used]})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": f"line {turn}\n" * 5}
        messages.append({"role": "user", "content": [result]})
    answer = claude.messages.create(messages=messages, **ask)
    assert answer.content[0].text == "All read."
