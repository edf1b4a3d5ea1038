"""What all cases share: the two ways to the stand-in, clients of the SDKs, scripts, and what the stand-in saw."""

import base64
import json
import os
import time
import urllib.parse
import urllib.request
import uuid
from dataclasses import dataclass

import anthropic
import openai
import pytest

MOCK = os.environ["SDK_MOCK"]
GATEWAY = os.environ.get("SDK_GATEWAY", "")
KEY = "sk-test-0123456789"
# Letters of one to four bytes, quotes, and what looks like the end of an event.
TEXT = "Grüße, 日本語 🙂 — \"quoted\" \\ data: [DONE]\n\n" * 5
# Longest wait for what has to come; only a failure takes so long.
PATIENCE = 60
MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]


@dataclass(frozen=True)
class Way:
    """How a client reaches the stand-in."""

    name: str
    openai: str
    anthropic: str


WAYS = {
    "direct": Way("direct", MOCK + "/v1", MOCK),
    "relay": Way("relay", GATEWAY + "/openai/v1", GATEWAY + "/anthropic"),
}


@pytest.fixture(params=os.environ["SDK_WAYS"].split())
def way(request):
    return WAYS[request.param]


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture
def gpt(way):
    with openai.OpenAI(base_url=way.openai, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def claude(way):
    with anthropic.Anthropic(base_url=way.anthropic, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def async_gpt(way, anyio_backend):
    async with openai.AsyncOpenAI(base_url=way.openai, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def async_claude(way, anyio_backend):
    async with anthropic.AsyncAnthropic(base_url=way.anthropic, api_key=KEY, max_retries=0, timeout=PATIENCE) as client:
        yield client


def chat(**more):
    return {"model": "gpt-4o-mini", "messages": MESSAGES, **more}


def message(**more):
    return {"model": "claude-haiku-4-5-20251001", "max_tokens": 4096, "messages": MESSAGES, **more}


class Case:
    """One scripted request, which the stand-in's record finds again by its name."""

    def __init__(self, **script):
        self.name = uuid.uuid4().hex
        if "fail_attempts" in script:
            script["attempt_key"] = self.name
        if script.get("gate") is True:
            script["gate"] = self.name
        self.headers = {"x-mock": json.dumps(script), "x-case": self.name}

    def release(self, permits=1):
        control(f"/_mock/release?gate={self.name}&n={permits}", method="POST")

    def seen(self):
        """The requests of this case as they reached the stand-in, headers by name."""
        requests = control(f"/_mock/requests?bodies=0&header=x-case:{self.name}")
        for request in requests:
            pairs = request.pop("headers_base64")
            request["headers"] = {name: base64.b64decode(value).decode() for name, value in pairs}
        return requests


def script(**fields):
    """The headers of a request that is scripted and not looked for again."""
    return Case(**fields).headers


def control(path, method="GET"):
    with urllib.request.urlopen(urllib.request.Request(MOCK + path, method=method), timeout=PATIENCE) as response:
        return json.load(response)


def stats():
    return control("/_mock/stats")


def until(condition, what):
    """Waits for what has to come."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come; the stand-in has {stats()}"
        time.sleep(0.02)


@pytest.fixture
def hang_ups():
    """How many callers went away since the test began, once nothing is under way."""
    until(lambda: stats()["open"] == 0, "quiet before the test")
    before = stats()["hung_up"]

    def count():
        until(lambda: stats()["open"] == 0, "the end of all exchanges")
        return stats()["hung_up"] - before

    return count
