"""A Jupyter server that is reached only through its sealed URL: login, kernel, large files."""

import base64
import hashlib
import json
import os
import random
import re
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from child import Child, clean_environment
from relay import Relay

PASSWORD = "signpost-at-the-crossroads"
FILE_BYTES = 200_000_000
CHUNK_BYTES = 8_000_000


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's ``host:port``."""
    directory = tmp_path_factory.mktemp("jupyter")
    places = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    environment = clean_environment() | {name: str(directory / name.lower()) for name in places}
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": 0,
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_remote_access": True,
        "ServerApp.allow_root": True,
        "ServerApp.root_dir": directory,
        "FileContentsManager.delete_to_trash": False,
        "IdentityProvider.token": PASSWORD,
    }
    command = [
        sys.executable,
        "-m",
        "jupyter_server",
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    with Child(command, environment=environment, directory=directory) as child:
        running = child.wait_for_line(r"http://127\.0\.0\.1:(\d+)/", deadline_s=60.0)
        yield f"127.0.0.1:{running[1]}"


@pytest.fixture
def browser(relay: Relay, jupyter: str) -> httpx.Client:
    """A client that has logged in by the form, as a browser does."""
    client = relay.http(base_url=relay.url(jupyter), follow_redirects=True, timeout=60.0)
    form = client.get("/login")
    field = re.search(r'name="_xsrf" value="([^"]+)"', form.text)
    assert field, form.text
    answer = client.post("/login", data={"_xsrf": field[1], "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert "/login" not in str(answer.url)
    client.headers["X-XSRFToken"] = client.cookies["_xsrf"]
    return client


@pytest.fixture
def kernel_id(browser: httpx.Client) -> Iterator[str]:
    started = browser.post("/api/kernels", json={"name": "python3"})
    assert started.status_code == 201, started.text
    yield started.json()["id"]
    assert browser.delete(f"/api/kernels/{started.json()['id']}").status_code == 204


def test_without_login_nothing_is_served(relay: Relay, jupyter: str) -> None:
    assert relay.http().get(relay.url(jupyter, "/api/contents")).status_code == 403


def test_a_kernel_computes_over_its_websocket(
    relay: Relay, jupyter: str, browser: httpx.Client, kernel_id: str
) -> None:
    host = relay.host(jupyter)
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    path = f"/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4()}"
    with relay.websocket(jupyter, path, additional_headers={"Cookie": cookies}, origin=f"http://{host}") as channels:
        channels.send(json.dumps(execute_request("1+1")))
        while (message := json.loads(channels.recv(timeout=60.0)))["msg_type"] != "execute_result":
            assert message["msg_type"] != "error", message

    assert message["content"]["data"]["text/plain"] == "2"


@pytest.mark.timeout(300)
def test_a_file_of_200_mb_comes_back_as_it_went(browser: httpx.Client) -> None:
    sent, received = hashlib.sha256(), hashlib.sha256()
    piece = random.Random(1).randbytes(CHUNK_BYTES)
    count = FILE_BYTES // CHUNK_BYTES
    for number in range(1, count + 1):
        content = piece[number:] + piece[:number]  # no two chunks alike
        sent.update(content)
        body = {
            "type": "file",
            "format": "base64",
            "chunk": number if number < count else -1,
            "content": base64.b64encode(content).decode(),
        }
        saved = browser.put("/api/contents/large.bin", json=body)
        assert saved.status_code in (200, 201), saved.text

    with browser.stream("GET", "/files/large.bin") as download:
        assert download.status_code == 200
        for block in download.iter_bytes():
            received.update(block)
    assert browser.delete("/api/contents/large.bin").status_code == 204

    assert received.hexdigest() == sent.hexdigest()


def execute_request(code: str) -> dict[str, Any]:
    """A message of the Jupyter messaging protocol, on the shell channel."""
    return {
        "channel": "shell",
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": os.environ.get("USER", "somebody"),
            "session": uuid.uuid4().hex,
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": False, "user_expressions": {}},
    }
