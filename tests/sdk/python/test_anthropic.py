"""Anthropic's SDK: what it can ask for, and that it gets it."""

import hashlib

import anthropic
import pytest
from conftest import KEY, PATIENCE, TEXT, Case, message, script
from pydantic import BaseModel
from test_openai import CALL, SHAPES

pytestmark = pytest.mark.anyio

TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]


class Trip(BaseModel):
    city: str
    days: int


def text(events):
    return "".join(event.delta.text for event in events if event.type == "content_block_delta")


def test_plain(claude):
    answer = claude.messages.create(**message(), extra_headers=script(text=TEXT, usage_cached=2))
    assert [block.text for block in answer.content] == [TEXT]
    assert (answer.stop_reason, answer.usage.cache_read_input_tokens) == ("end_turn", 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stream(claude, shape):
    events = list(claude.messages.create(**message(stream=True), extra_headers=script(text=TEXT, **shape)))
    assert text(events) == TEXT
    kinds = [event.type for event in events if event.type != "content_block_delta"]
    expected = ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    # Without its blank line the last event is no event.
    assert kinds == (expected[:-1] if shape.get("unterminated") else expected)
    [end] = [event for event in events if event.type == "message_delta"]
    assert (end.delta.stop_reason, end.usage.output_tokens) == ("end_turn", len(events) - len(kinds))


def test_each_token_is_here_before_the_next_is_sent(claude):
    case = Case(text="one two three", gate=True)
    with claude.messages.create(**message(stream=True), extra_headers=case.headers) as stream:
        assert [next(stream).type, next(stream).type] == ["message_start", "content_block_start"]
        for token in ["one", " two", " three"]:
            case.release()
            assert next(stream).delta.text == token


def test_stream_helper(claude):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    headers = script(text=TEXT, thinking="Hm, so", chunking="random:4")
    with claude.messages.stream(**message(thinking=thinking), extra_headers=headers) as stream:
        assert "".join(stream.text_stream) == TEXT
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].thinking == "Hm, so"


async def test_async(async_claude):
    answer = await async_claude.messages.create(**message(), extra_headers=script(text=TEXT))
    assert answer.content[0].text == TEXT
    stream = await async_claude.messages.create(**message(stream=True), extra_headers=script(text=TEXT))
    assert text([event async for event in stream]) == TEXT
    async with async_claude.messages.stream(**message(), extra_headers=script(text=TEXT)) as stream:
        assert await stream.get_final_text() == TEXT


def test_tools(claude):
    answer = claude.messages.create(**message(tools=TOOLS), extra_headers=script(tool_call=CALL, text="Let me look."))
    assert [block.type for block in answer.content] == ["text", "tool_use"]
    assert (answer.content[1].input, answer.stop_reason) == (CALL["arguments"], "tool_use")
    with claude.messages.stream(**message(tools=TOOLS), extra_headers=script(tool_call=CALL)) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        final = stream.get_final_message()
    assert len(pieces) > 5
    assert final.content[0].input == CALL["arguments"]


def test_structured(claude):
    answer = claude.messages.parse(**message(output_format=Trip), extra_headers=script())
    assert answer.parsed_output == Trip(city="sample", days=1)
    with claude.messages.stream(**message(output_format=Trip), extra_headers=script()) as stream:
        assert stream.get_final_message().parsed_output == Trip(city="sample", days=1)


def test_vision_of_2_mb_arrives_byte_for_byte(claude):
    case = Case(text="A picture.")
    source = {"type": "base64", "media_type": "image/png", "data": "QUJD" * 500_000}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    ask = message(messages=[{"role": "user", "content": parts}])
    raw = claude.messages.with_raw_response.create(**ask, extra_headers=case.headers)
    assert raw.parse().content[0].text == "A picture."
    [seen] = case.seen()
    sent = raw.http_request.read()
    assert seen["body_len"] == len(sent) > 2_000_000
    assert seen["body_sha256"] == hashlib.sha256(sent).hexdigest()


def test_count_tokens(claude):
    ask = message()
    del ask["max_tokens"]
    assert claude.messages.count_tokens(**ask).input_tokens == 6


def test_pages(claude):
    page = claude.models.list(limit=2)
    assert len(page.data) == 2 and page.has_next_page()
    ids = [model.id for model in page]
    assert len(ids) == 5 and len(set(ids)) == 5
    assert [model.id for model in claude.models.list(limit=2, before_id=ids[4])] == [ids[2], ids[3], ids[0], ids[1]]
    assert claude.models.retrieve(ids[0]).display_name == "Claude Sonnet 4.5"


@pytest.mark.parametrize("beta", [False, True], ids=["stable", "beta"])
def test_files(claude, beta, tmp_path):
    files = claude.beta.files if beta else claude.files
    data = bytes(range(256)) * 12_000 + b"\r\n--\r\n"
    case = Case()
    betas = {"betas": ["files-api-2025-04-14"]} if beta else {}
    made = files.upload(file=("Grüße.bin", data, "application/x-test"), extra_headers=case.headers, **betas)
    assert (made.size_bytes, made.filename, made.mime_type) == (len(data), "Grüße.bin", "application/x-test")
    assert case.seen()[0]["headers"].get("anthropic-beta") == ("files-api-2025-04-14" if beta else None)
    assert files.retrieve_metadata(made.id) == made
    assert files.download(made.id).read() == data
    others = [files.upload(file=(f"{i}", b"x")).id for i in range(4)]
    listed = [file.id for file in files.list(limit=2)]
    assert {made.id, *others} <= set(listed) and len(set(listed)) == len(listed)
    for file in [made.id, *others]:
        assert files.delete(file).type == "file_deleted"
    with pytest.raises(anthropic.NotFoundError, match="File not found"):
        files.retrieve_metadata(made.id)


def test_raw_response(claude, way):
    raw = claude.messages.with_raw_response.create(**message(), extra_headers=script(text=TEXT, gzip=True))
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "4000"
    assert raw.headers["content-encoding"] == "gzip"
    answer = raw.parse()
    assert answer.content[0].text == TEXT and answer._request_id == raw.headers["request-id"]
    for name in ["server", "cf-ray", "set-cookie", "anthropic-organization-id", "via"]:
        assert (name in raw.headers) == (way.name == "direct"), name


# The SDK sends both of its credentials as bearer tokens; its versions before 2 sent an API key as `x-api-key`.
FORMS = {
    "api_key": {"api_key": KEY},
    "auth_token": {"auth_token": KEY},
    "x-api-key": {"default_headers": {"x-api-key": KEY}},
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_credential_arrives_as_sent(way, form):
    case = Case()
    with anthropic.Anthropic(base_url=way.anthropic, max_retries=0, timeout=PATIENCE, **FORMS[form]) as client:
        headers = case.headers | {"anthropic-beta": "a-1,b-2"}
        raw = client.messages.with_raw_response.create(**message(), extra_headers=headers)
    sent = raw.http_request.headers
    [seen] = case.seen()
    headers = seen["headers"]
    assert (headers.get("x-api-key"), headers.get("authorization")) == (
        (KEY, None) if form == "x-api-key" else (None, f"Bearer {KEY}")
    )
    assert headers["anthropic-version"] == sent["anthropic-version"]
    assert headers["anthropic-beta"] == "a-1,b-2"
    telemetry = [name for name in headers if name.startswith("x-stainless-")]
    if way.name == "direct":
        assert telemetry and headers["user-agent"].startswith("Anthropic/Python")
    else:
        assert not telemetry and headers["user-agent"] == "xllm-proxy/1"
