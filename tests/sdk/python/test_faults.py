"""What goes wrong, and that the SDKs see it as they see it straight from the provider."""

import os
import time
from contextlib import AsyncExitStack

import anthropic
import anyio
import httpx2
import openai
import pytest
from conftest import KEY, PATIENCE, TEXT, WAYS, Case, chat, message, script, stats, until

pytestmark = pytest.mark.anyio

# Each provider's error of a status: class of the exception, `type` of the error.
OPENAI = {
    400: (openai.BadRequestError, "invalid_request_error"),
    401: (openai.AuthenticationError, "invalid_request_error"),
    403: (openai.PermissionDeniedError, "request_forbidden"),
    404: (openai.NotFoundError, "invalid_request_error"),
    409: (openai.ConflictError, "invalid_request_error"),
    413: (openai.APIStatusError, "invalid_request_error"),
    422: (openai.UnprocessableEntityError, "invalid_request_error"),
    429: (openai.RateLimitError, "requests"),
    500: (openai.InternalServerError, "server_error"),
    503: (openai.InternalServerError, "service_unavailable_error"),
}
ANTHROPIC = {
    400: (anthropic.BadRequestError, "invalid_request_error"),
    401: (anthropic.AuthenticationError, "authentication_error"),
    403: (anthropic.PermissionDeniedError, "permission_error"),
    404: (anthropic.NotFoundError, "not_found_error"),
    409: (anthropic.ConflictError, "invalid_request_error"),
    413: (anthropic.RequestTooLargeError, "request_too_large"),
    422: (anthropic.UnprocessableEntityError, "invalid_request_error"),
    429: (anthropic.RateLimitError, "rate_limit_error"),
    500: (anthropic.InternalServerError, "api_error"),
    503: (anthropic.ServiceUnavailableError, "api_error"),
    529: (anthropic.OverloadedError, "overloaded_error"),
}


@pytest.fixture(params=["openai", "anthropic"])
def ask(request, gpt, claude):
    """A request of either SDK: `ask(case, stream=…, retries=…)`, and the text of a stream."""

    def openai_ask(case, retries=0, **more):
        client = gpt.with_options(max_retries=retries, timeout=more.pop("timeout", 60))
        return client.chat.completions.create(**chat(**more), extra_headers=case.headers)

    def anthropic_ask(case, retries=0, **more):
        client = claude.with_options(max_retries=retries, timeout=more.pop("timeout", 60))
        return client.messages.create(**message(**more), extra_headers=case.headers)

    ask = {"openai": openai_ask, "anthropic": anthropic_ask}[request.param]
    ask.sdk = {"openai": openai, "anthropic": anthropic}[request.param]
    return ask


def token(event):
    """The text of an event of either SDK."""
    if hasattr(event, "choices"):
        return event.choices[0].delta.content or "" if event.choices else ""
    return event.delta.text if event.type == "content_block_delta" else ""


@pytest.mark.parametrize("status", OPENAI)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_errors_of_openai(gpt, status, stream):
    kind, name = OPENAI[status]
    with pytest.raises(openai.APIStatusError) as caught:
        gpt.chat.completions.create(**chat(stream=stream), extra_headers=script(error_status=status, retry_after=7))
    error = caught.value
    assert type(error) is kind and error.status_code == status
    assert error.type == name and error.body["message"] in error.message
    assert error.request_id.startswith("req_")
    assert error.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", ANTHROPIC)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_errors_of_anthropic(claude, status, stream):
    kind, name = ANTHROPIC[status]
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(**message(stream=stream), extra_headers=script(error_status=status, retry_after=7))
    error = caught.value
    assert type(error) is kind and error.status_code == status
    assert error.body["error"]["type"] == name and error.body["error"]["message"] in error.message
    assert error.request_id == error.body["request_id"]
    assert error.response.headers["retry-after"] == "7"


def test_errors_of_the_request_itself(gpt, claude):
    with pytest.raises(openai.NotFoundError) as caught:
        gpt.chat.completions.create(**chat(model="missing-1"))
    assert caught.value.code == "model_not_found"
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Input should be greater"):
        claude.messages.create(**message(max_tokens=-1))


def test_retry_after_is_obeyed(ask):
    case = Case(error_status=429, retry_after=1, fail_attempts=1)
    ask(case, retries=2)
    first, second = case.seen()
    assert second["arrived_ms"] - first["arrived_ms"] >= 1000


@pytest.mark.parametrize("status", [409, 500, 529])
def test_passing_errors_are_retried(ask, status):
    case = Case(error_status=status, fail_attempts=1)
    ask(case, retries=2)
    assert len(case.seen()) == 2


def test_lasting_errors_are_told_behind_the_last_retry(ask):
    case = Case(error_status=503)
    with pytest.raises(ask.sdk.InternalServerError):
        ask(case, retries=1)
    assert len(case.seen()) == 2


def test_an_error_in_mid_stream_is_raised_with_its_type(ask):
    case = Case(text="one two three", error_after=2)
    said = ""
    with pytest.raises(ask.sdk.APIError) as caught:
        for event in ask(case, stream=True):
            said += token(event)
    assert said == "one two"
    body = caught.value.body
    expected = "server_error" if ask.sdk is openai else "overloaded_error"
    assert (body.get("error") or body)["type"] == expected


def test_an_error_in_mid_stream_of_a_response_is_an_event_of_its_own(gpt):
    headers = script(text="one two", error_after=1)
    events = list(gpt.responses.create(model="gpt-4.1", input="Hi", stream=True, extra_headers=headers))
    assert [event.type for event in events[-2:]] == ["response.output_text.delta", "error"]
    assert events[-1].code == "server_error"


@pytest.mark.parametrize("shape", [{}, {"gzip": True}, {"chunking": "random:5"}], ids=str)
def test_a_connection_cut_in_mid_stream_is_no_end(ask, way, shape):
    case = Case(text="one two three", drop_after=2, **shape)
    said = ""
    with pytest.raises((ask.sdk.APIError, httpx2.HTTPError)) as caught:
        for event in ask(case, stream=True):
            said += token(event)
    assert said == "one two"
    if way.name == "relay" and "gzip" not in shape:
        # The gateway says what happened as an event of the provider's; into a packed stream nothing can be put.
        assert "upstream-closed" in str(caught.value)
    else:
        assert isinstance(caught.value, (ask.sdk.APIConnectionError, httpx2.TransportError))
    assert len(case.seen()) == 1


def test_a_document_cut_in_its_middle_is_no_answer(ask):
    case = Case(text=TEXT, drop_after=2)
    with pytest.raises(ask.sdk.APIConnectionError):
        ask(case)
    assert len(case.seen()) == 1


def test_a_stream_closed_early_is_one_hang_up(ask, hang_ups):
    case = Case(text="one two three", gate=True)
    stream = ask(case, stream=True)
    case.release()
    while token(next(iter(stream))) != "one":
        pass
    assert stats()["open"] == 1
    stream.close()
    assert hang_ups() == 1


def test_the_sdks_own_timeouts(ask, hang_ups):
    # Long enough for the request to reach the stand-in on a busy machine, so that there is somebody to hang up on.
    with pytest.raises(ask.sdk.APITimeoutError):
        ask(Case(hang="head"), timeout=3)
    assert hang_ups() == 1
    with pytest.raises((ask.sdk.APITimeoutError, httpx2.TimeoutException)):
        list(ask(Case(hang="body"), timeout=3, stream=True))
    assert hang_ups() == 2


async def test_fifty_streams_at_once_each_with_its_own_text(async_gpt, async_claude):
    gate = Case(gate=True)
    name = gate.name

    async def run(number, texts):
        text = f"{number}: " + f"word{number} " * (number + 1)
        headers = script(text=text, gate=name, chunking=f"random:{number}")
        if number % 2:
            stream = await async_gpt.chat.completions.create(**chat(stream=True), extra_headers=headers)
        else:
            stream = await async_claude.messages.create(**message(stream=True), extra_headers=headers)
        texts[number] = ("".join([token(event) async for event in stream]), text)

    texts = {}
    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(run, number, texts)
        # All are under way before any may go on.
        await anyio.to_thread.run_sync(lambda: until(lambda: stats()["open"] == 50, "fifty at once"))
        await anyio.to_thread.run_sync(gate.release, 1_000_000)
    assert len(texts) == 50
    for said, text in texts.values():
        assert said == text


async def test_ten_minutes_of_silence_on_a_clock_sixty_times_as_fast():
    """Before the head, behind it, and between two tokens, on all ways at once, as waiting takes no work. The limits of the
    server are scaled likewise."""
    silent = script(text=TEXT, silence_ms=10_000, silence_after=3)
    thinking = script(text=TEXT, first_token_ms=10_000)

    async def stream(client, headers):
        if isinstance(client, openai.AsyncOpenAI):
            stream = await client.chat.completions.create(**chat(stream=True), extra_headers=headers)
        else:
            stream = await client.messages.create(**message(stream=True), extra_headers=headers)
        assert "".join([token(event) async for event in stream]) == TEXT, client.base_url

    async def whole(client):
        if isinstance(client, openai.AsyncOpenAI):
            answer = await client.responses.create(model="gpt-4.1", input="Hi", extra_headers=thinking)
            assert answer.output_text == TEXT, client.base_url
        else:
            answer = await client.messages.create(**message(), extra_headers=thinking)
            assert answer.content[0].text == TEXT, client.base_url

    begin = time.monotonic()
    settings = {"api_key": KEY, "max_retries": 0, "timeout": PATIENCE}
    async with AsyncExitStack() as clients, anyio.create_task_group() as group:
        for name in os.environ["SDK_WAYS"].split():
            way = WAYS[name]
            for kind, url in [(openai.AsyncOpenAI, way.openai), (anthropic.AsyncAnthropic, way.anthropic)]:
                client = await clients.enter_async_context(kind(base_url=url, **settings))
                group.start_soon(stream, client, silent)
                group.start_soon(stream, client, thinking)
                group.start_soon(whole, client)
    assert time.monotonic() - begin >= 10
