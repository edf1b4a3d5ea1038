"""What README.md tells people to type works as it stands there, through the relay: `curl`, `llm`, and an agent of their own."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from conftest import GATEWAY, PATIENCE, control

README = Path(__file__).parents[3] / "README.md"
# The gateway's address in the README, where it listens by default.
ADDRESS = "127.0.0.1:8787"
TURNS = 2
SAID = "All read."

# An agent as people write it: it takes address and key from the environment, and knows of no relay.
AGENT = f'''
import json
import anthropic

client = anthropic.Anthropic(default_headers={{"x-mock": json.dumps({{"tool_turns": {TURNS}, "text": "{SAID}"}})}})
tools = [{{"name": "read", "input_schema": {{"type": "object", "properties": {{"path": {{"type": "string"}}}}}}}}]
messages = [{{"role": "user", "content": "Read what is there."}}]
while True:
    answer = client.messages.create(model="claude-haiku-4-5-20251001", max_tokens=1024, tools=tools, messages=messages)
    messages.append({{"role": "assistant", "content": answer.content}})
    if answer.stop_reason != "tool_use":
        break
    calls = [block for block in answer.content if block.type == "tool_use"]
    results = [{{"type": "tool_result", "tool_use_id": call.id, "content": "a line"}} for call in calls]
    messages.append({{"role": "user", "content": results}})
print(answer.content[0].text)
'''

pytestmark = pytest.mark.skipif("relay" not in os.environ["SDK_WAYS"].split(), reason="they are about the relay")


def lines():
    """The commands of the first block behind "With that, the SDKs of …", by the program that each runs."""
    _, _, rest = README.read_text().partition("\nWith that, the SDKs of ")
    block = re.search(r"^```sh\n(.*?)^```$", rest, re.DOTALL | re.MULTILINE)
    assert block, "README.md has no such block"
    commands = block[1].replace("\\\n", "").splitlines()
    return {next(word for word in command.split() if "=" not in word): command for command in commands}


class Shell:
    """A user's shell in a folder of its own, with keys by which the stand-in's record finds its requests again."""

    def __init__(self, folder):
        self.key = f"sk-test-{uuid.uuid4().hex}"
        self.folder = folder
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "OPENAI_API_KEY": self.key,
            "ANTHROPIC_API_KEY": self.key,
        }
        (folder / "agent.py").write_text(AGENT)

    def run(self, *command):
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def line(self, program):
        command = lines()[program]
        assert command.count(ADDRESS) == 1
        return self.run("bash", "-c", command.replace(ADDRESS, GATEWAY.removeprefix("http://")))

    def seen(self):
        """The paths of what the stand-in got from here; all of them send the key as a bearer token."""
        requests = control(f"/_mock/requests?bodies=0&header=authorization:Bearer%20{self.key}")
        return [request["path"] for request in requests]


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def test_the_block_has_these_and_no_others():
    assert set(lines()) == {"curl", "llm", "python"}


@pytest.mark.parametrize("program", ["curl", "llm"])
def test_a_line(shell, program):
    # The stand-in's answer speaks of what it was asked.
    assert "“Hello”" in shell.line(program)
    assert shell.seen() == ["/v1/chat/completions"]


def test_an_agent(shell):
    assert shell.line("python") == f"{SAID}\n"
    assert shell.seen() == ["/v1/messages"] * (TURNS + 1)


def test_an_agent_that_the_gateway_runs(shell):
    gateway = [os.environ["SDK_XLLM"], "gateway", "--config", os.environ["SDK_CONFIG"]]
    assert shell.run(*gateway, "--", "python", "agent.py") == f"{SAID}\n"
    assert shell.seen() == ["/v1/messages"] * (TURNS + 1)
