"""Programs that are no SDK: `curl`, and the command `llm`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import KEY, MOCK, PATIENCE, TEXT, Case, chat, message

LLM = Path(sys.executable).parent / "llm"


def curl(*arguments):
    return ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(PATIENCE), *arguments]


def of_openai(way, case, body):
    headers = case.headers | {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    lines = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return [*lines, "-d", json.dumps(body), way.openai + "/chat/completions"]


def run(command, **environment):
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=os.environ | environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_curl(way):
    answer = json.loads(run(curl(*of_openai(way, Case(text=TEXT), chat()))))
    assert answer["choices"][0]["message"]["content"] == TEXT
    ask = ["-H", f"x-api-key: {KEY}", "-H", "anthropic-version: 2023-06-01", "-H", "content-type: application/json"]
    answer = json.loads(run(curl(*ask, "-d", json.dumps(message()), way.anthropic + "/v1/messages")))
    assert answer["type"] == "message"
    packed = run(curl("--compressed", *of_openai(way, Case(text=TEXT, gzip=True), chat())))
    assert json.loads(packed)["choices"][0]["message"]["content"] == TEXT
    failed = run(curl("-w", "%{http_code}", *of_openai(way, Case(error_status=429), chat())))
    assert failed.endswith("429") and "rate_limit_exceeded" in failed


def test_curl_sees_each_token_when_it_is_sent(way):
    case = Case(text="one two three", gate=True)
    command = curl("-N", *of_openai(way, case, chat(stream=True)))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        events = (json.loads(line[6:]) for line in process.stdout if line.startswith("data: {"))
        assert next(events)["choices"][0]["delta"]["role"] == "assistant"
        for token in ["one", " two", " three"]:
            case.release()
            assert next(events)["choices"][0]["delta"]["content"] == token
        assert process.stdout.read().endswith("data: [DONE]\n\n")
    assert process.returncode == 0


def test_curl_tells_a_cut_from_an_end(way):
    command = curl("-N", *of_openai(way, Case(text="one two three", drop_after=2), chat(stream=True)))
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE)
    assert done.returncode != 0
    assert b'"content":" two"' in done.stdout and b"three" not in done.stdout


@pytest.mark.parametrize("mode", [["--no-stream"], []], ids=["whole", "streamed"])
def test_llm(way, tmp_path, mode):
    environment = {"OPENAI_BASE_URL": way.openai, "OPENAI_API_KEY": KEY, "LLM_USER_PATH": str(tmp_path)}
    said = run([LLM, "-m", "gpt-4o-mini", *mode, "Why is the sky blue?"], **environment)
    assert "“Why is the sky blue?”" in said and "\n1. **" in said
    endpoint = [LLM, "openai", "endpoint", way.openai, "-m", "gpt-4o-mini", "--key", KEY, *mode]
    assert run([*endpoint, "Why is the sky blue?"], **environment) == said
