"""`striate serve`, started as its users start it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from striate.cli import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small network of the lectures, in a file."""
    import striate

    path = tmp_path_factory.mktemp("net") / "net.safetensors"
    return str(striate.load("striate:resnet-18,classes=10,size=32").save(path))


def start(*words):
    command = [sys.executable, "-m", "striate", "serve", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    found = re.search(r"(http://\S+)", line)
    assert found, process.communicate(timeout=60)
    return process, found.group(1)


def end(process):
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_it_serves_what_is_named_until_ctrl_c(saved, pictures):
    process, address = start(saved, "--port", "0", "--pictures", str(pictures))
    try:
        assert address.startswith("http://127.0.0.1:")
        assert b"<html" in urllib.request.urlopen(address, timeout=60).read()
        session = urllib.request.urlopen(f"{address}api/session", timeout=60).read()
        assert b"chelsea.png" in session
    finally:
        status, _, err = end(process)
    assert status == 0
    assert "Traceback" not in err


def test_ctrl_c_while_a_job_runs_and_is_listened_to_ends_quietly(saved, pictures):
    process, address = start(saved, "--port", "0", "--pictures", str(pictures))
    try:
        asked = {"kind": "lens", "lens": "synthesize", "target": ["conv1:3"], "options": {"steps": 100_000}}
        begin = urllib.request.Request(
            f"{address}api/jobs", data=json.dumps(asked).encode(), headers={"Content-Type": "application/json"}
        )
        job = json.load(urllib.request.urlopen(begin, timeout=60))["job"]
        with urllib.request.urlopen(f"{address}api/jobs/{job}/events", timeout=60) as stream:
            assert stream.readline() == b"event: progress\n"
            status, _, err = end(process)
            told = stream.read().decode()
    finally:
        process.kill()
    assert status == 0
    assert err == ""
    assert "event: done" in told  # the best so far, to whoever still listens


def test_elsewhere_than_on_loopback_it_warns_and_asks_for_a_token(saved, pictures):
    process, address = start(saved, "--port", "0", "--host", "0.0.0.0", "--pictures", str(pictures))
    try:
        port, token = re.search(r":(\d+)/\?token=(\S+)", address).groups()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/session", timeout=60)
        shown = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/session", headers={"Authorization": f"Bearer {token}"}
        )
        assert urllib.request.urlopen(shown, timeout=60).status == 200
        assert len(token) >= 20
    finally:
        _, _, err = end(process)
    assert "can be reached by others" in err


def test_a_port_that_is_taken_and_an_empty_token_are_said(saved, pictures, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", saved, "--port", str(port), "--pictures", str(pictures)]) == 2
    assert "cannot be listened at" in capsys.readouterr().err
    assert main(["serve", saved, "--token", " ", "--pictures", str(pictures)]) == 2
    assert "--token is empty" in capsys.readouterr().err
