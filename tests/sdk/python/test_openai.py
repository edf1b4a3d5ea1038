"""OpenAI's SDK: what it can ask for, and that it gets it."""

import hashlib
import json
import urllib.request

import openai
import pytest
from conftest import KEY, MESSAGES, MOCK, TEXT, Case, chat, script
from pydantic import BaseModel

pytestmark = pytest.mark.anyio

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CALL = {"name": "weather", "arguments": {"city": "Köln", "days": 3}}
# The ways in which a stream may arrive; each has to give the same text.
SHAPES = [
    {},
    {"chunking": "bytes:1"},
    {"chunking": "random:7"},
    {"chunking": "random:8", "line_end": "crlf"},
    {"line_end": "cr"},
    {"unterminated": True},
    {"gzip": True},
    {"gzip": True, "chunking": "random:9"},
]


class Trip(BaseModel):
    city: str
    days: int


def content(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_plain(gpt):
    answer = gpt.chat.completions.create(**chat(), extra_headers=script(text=TEXT, usage_cached=2))
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens_details.cached_tokens == 2
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stream(gpt, shape):
    options = {"include_usage": True}
    stream = gpt.chat.completions.create(**chat(stream=True, stream_options=options), extra_headers=script(text=TEXT, **shape))
    chunks = list(stream)
    assert content(chunks) == TEXT
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert chunks[-1].usage.completion_tokens == len(chunks) - 3
    assert len({chunk.id for chunk in chunks}) == 1


def test_each_token_is_here_before_the_next_is_sent(gpt):
    case = Case(text="one two three", gate=True)
    with gpt.chat.completions.create(**chat(stream=True), extra_headers=case.headers) as stream:
        assert next(stream).choices[0].delta.role == "assistant"
        for token in ["one", " two", " three"]:
            case.release()
            assert next(stream).choices[0].delta.content == token
        assert next(stream).choices[0].finish_reason == "stop"


async def test_async(async_gpt):
    answer = await async_gpt.chat.completions.create(**chat(), extra_headers=script(text=TEXT))
    assert answer.choices[0].message.content == TEXT
    stream = await async_gpt.chat.completions.create(**chat(stream=True), extra_headers=script(text=TEXT))
    assert content([chunk async for chunk in stream]) == TEXT


def test_tools(gpt):
    answer = gpt.chat.completions.create(**chat(tools=TOOLS), extra_headers=script(tool_call=CALL))
    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", '{"city":"Köln","days":3}')
    assert answer.choices[0].finish_reason == "tool_calls"


def test_tools_streamed(gpt):
    with gpt.chat.completions.stream(**chat(tools=TOOLS), extra_headers=script(tool_call=CALL)) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        final = stream.get_final_completion()
    assert len(pieces) > 5
    [call] = final.choices[0].message.tool_calls
    assert "".join(pieces) == call.function.arguments == '{"city":"Köln","days":3}'


def test_structured(gpt):
    answer = gpt.chat.completions.parse(**chat(response_format=Trip), extra_headers=script())
    assert answer.choices[0].message.parsed == Trip(city="sample", days=1)
    asked = [{"role": "user", "content": "In JSON"}]
    answer = gpt.chat.completions.create(model="gpt-4o", messages=asked, response_format={"type": "json_object"})
    assert json.loads(answer.choices[0].message.content)["question"] == "In JSON"
    with gpt.chat.completions.stream(**chat(response_format=Trip), extra_headers=script()) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Trip(city="sample", days=1)


@pytest.mark.parametrize("size", [2_000_000, 32 * 1024 * 1024], ids=["2MB", "32MiB"])
def test_vision_arrives_byte_for_byte(gpt, size):
    case = Case(text="A picture.")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * (size // 4)}}
    parts = [{"type": "text", "text": "What is this?"}, image]
    raw = gpt.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": parts}], extra_headers=case.headers
    )
    assert raw.parse().choices[0].message.content == "A picture."
    [seen] = case.seen()
    sent = raw.http_request.read()
    assert seen["body_len"] == len(sent) > size
    assert seen["body_sha256"] == hashlib.sha256(sent).hexdigest()


def test_responses(gpt):
    answer = gpt.responses.create(model="gpt-4.1", input="Hi", extra_headers=script(text=TEXT))
    assert (answer.output_text, answer.status) == (TEXT, "completed")
    parsed = gpt.responses.parse(model="gpt-4.1", input="Hi", text_format=Trip, extra_headers=script())
    assert parsed.output_parsed == Trip(city="sample", days=1)
    called = gpt.responses.create(model="gpt-4.1", input="Hi", extra_headers=script(tool_call=CALL))
    assert called.output[0].arguments == '{"city":"Köln","days":3}'


def test_responses_streamed(gpt):
    events = list(gpt.responses.create(model="gpt-4.1", input="Hi", stream=True, extra_headers=script(text="one two")))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.usage.output_tokens == 2
    with gpt.responses.stream(model="gpt-4.1", input="Hi", extra_headers=script(text=TEXT, chunking="random:3")) as stream:
        assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == TEXT
        assert stream.get_final_response().output_text == TEXT


def test_files(gpt, tmp_path):
    # Bytes that are no text, and more than one piece of anything on the way.
    data = bytes(range(256)) * 12_000 + b"\r\n--\r\n"
    path = tmp_path / "Grüße.bin"
    path.write_bytes(data)
    made = gpt.files.create(file=path, purpose="user_data")
    assert (made.bytes, made.filename, made.purpose) == (len(data), "Grüße.bin", "user_data")
    assert gpt.files.retrieve(made.id) == made
    assert gpt.files.content(made.id).read() == data
    with gpt.files.with_streaming_response.content(made.id) as response:
        response.stream_to_file(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert gpt.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        gpt.files.retrieve(made.id)


def test_pages(gpt):
    made = [gpt.files.create(file=(f"{i}.jsonl", b"{}"), purpose="batch").id for i in range(5)]
    page = gpt.files.list(limit=2, order="asc", purpose="batch")
    assert len(page.data) == 2 and page.has_next_page()
    listed = [file.id for file in page]
    assert [file for file in listed if file in made] == made and len(set(listed)) == len(listed)
    for file in made:
        gpt.files.delete(file)
    models = [model.id for model in gpt.models.list()]
    assert "gpt-4o" in models
    assert gpt.models.retrieve("gpt-4o").owned_by == "system"


def test_speech_is_the_same_bytes(gpt, tmp_path):
    ask = {"model": "tts-1", "voice": "alloy", "input": "word " * 300}
    straight = urllib.request.Request(
        MOCK + "/v1/audio/speech",
        json.dumps(ask).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(straight) as response:
        expected = response.read()
    assert len(expected) > 1_000_000
    with gpt.audio.speech.with_streaming_response.create(**ask) as response:
        assert response.headers["content-type"] == "audio/mpeg"
        response.stream_to_file(tmp_path / "speech.mp3")
    assert (tmp_path / "speech.mp3").read_bytes() == expected
    assert gpt.audio.speech.create(**ask).read() == expected
    with gpt.audio.speech.with_streaming_response.create(**ask) as response:
        assert b"".join(response.iter_bytes(1000)) == expected


def test_transcription(gpt):
    audio = ("talk.mp3", bytes(range(256)) * 1000)
    answer = gpt.audio.transcriptions.create(model="gpt-4o-transcribe", file=audio)
    assert answer.text == "Somebody says 256000 bytes, and they are called talk.mp3."
    stream = gpt.audio.transcriptions.create(model="gpt-4o-transcribe", file=audio, stream=True)
    events = list(stream)
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == answer.text


def test_embeddings_in_base64_and_in_numbers(gpt):
    ask = {"model": "text-embedding-3-small", "input": ["one", "two"]}
    packed = gpt.embeddings.create(**ask)
    plain = gpt.embeddings.create(**ask, encoding_format="float")
    assert len(packed.data) == 2 and len(packed.data[0].embedding) == 1536
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)


def test_raw_response(gpt, way):
    raw = gpt.chat.completions.with_raw_response.create(**chat(), extra_headers=script(text=TEXT, gzip=True))
    assert raw.request_id.startswith("req_")
    assert raw.headers["x-ratelimit-limit-requests"] == "10000"
    assert raw.headers["content-encoding"] == "gzip"
    assert raw.parse().choices[0].message.content == TEXT
    # What names the provider or links requests ends at the relay.
    for name in ["server", "cf-ray", "set-cookie", "openai-organization"]:
        assert (name in raw.headers) == (way.name == "direct"), name


def test_what_arrives_is_what_was_sent_but_telemetry(gpt, way):
    case = Case()
    headers = case.headers | {"idempotency-key": "once", "openai-beta": "x=1"}
    gpt.chat.completions.create(model="gpt-4o", messages=MESSAGES, extra_headers=headers, extra_query={"a": "b c"})
    [seen] = case.seen()
    assert seen["path"] == "/v1/chat/completions?a=b+c"
    headers = seen["headers"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["idempotency-key"], headers["openai-beta"]) == ("once", "x=1")
    telemetry = [name for name in headers if name.startswith("x-stainless-")]
    if way.name == "direct":
        assert telemetry and headers["user-agent"].startswith("OpenAI/Python")
    else:
        assert not telemetry and headers["user-agent"] == "xllm-proxy/1"
