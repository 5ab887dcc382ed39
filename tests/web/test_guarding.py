"""What must not get through: foreign names and sites, visitors without the token, large bodies, paths, bombs."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from fastapi.testclient import TestClient

from striate.images import encode_png
from striate.web.app import application
from striate.web.guarding import CONTENT_POLICY, is_loopback

ADDRESS = "http://127.0.0.1:8765"
TOKEN = "what only the owner knows"


@pytest.fixture(scope="module")
def guarded(house):
    """A browser before an application that asks for a token; it follows no redirects."""
    app = application(house, token=TOKEN, hosts=["microscope.example"])
    return lambda: TestClient(app, base_url=ADDRESS, follow_redirects=False)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "a b", "127.0.0.1:x", "u@127.0.0.1"])
def test_a_foreign_name_is_refused(client, host):
    response = client.get("/api/session", headers={"Host": host})
    assert response.status_code == 421
    assert "not served under that name" in response.json()["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "[::1]:8765", "LOCALHOST"])
def test_names_of_this_machine_pass(client, host):
    assert client.get("/api/session", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8765"])
def test_requests_of_other_sites_are_refused(client, origin):
    response = client.post("/api/run", json={"lens": "filters"}, headers={"Origin": origin})
    assert response.status_code == 403
    assert "another site" in response.json()["error"]


def test_requests_of_the_page_itself_pass(client):
    response = client.post("/api/run", json={"lens": "filters"}, headers={"Origin": ADDRESS})
    assert response.status_code == 200


def test_what_another_site_embeds_is_refused_and_a_link_is_followed(client, picture):
    embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    assert client.get(f"/api/pictures/{picture}.png", headers=embedded).status_code == 403
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=followed).status_code == 200
    assert client.get("/api/session", headers=followed).status_code == 403


@pytest.mark.parametrize("path", ["/", "/api/session", "/api/nothing", "/nothing", "/api/openapi.json"])
def test_every_answer_has_the_headers(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"] == CONTENT_POLICY
    assert "default-src 'none'" in CONTENT_POLICY
    assert "unsafe" not in CONTENT_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "cache-control" in headers


def test_a_refusal_has_the_headers_too(client):
    assert client.get("/", headers={"Host": "evil.example"}).headers["content-security-policy"] == CONTENT_POLICY


@pytest.mark.parametrize("path", ["/", "/style.css", "/api/session", "/api/openapi.json", "/?token=wrong", "/?token="])
def test_without_the_token_there_is_nothing(guarded, path):
    response = guarded().get(path)
    assert response.status_code == 401
    assert "token" in response.json()["error"]


def test_the_token_becomes_a_cookie_and_leaves_the_address(guarded):
    browser = guarded()
    response = browser.get("/", params={"token": TOKEN, "x": "1"})
    assert response.status_code == 303
    assert response.headers["location"] == "/?x=1"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert browser.get("/api/session").status_code == 200
    browser.cookies.clear()
    browser.cookies.set("striate", TOKEN.replace(" ", ""))
    assert browser.get("/api/session").status_code == 401


def test_a_redirect_stays_on_this_site(guarded):
    location = guarded().get(f"{ADDRESS}//evil.example/", params={"token": TOKEN}).headers["location"]
    assert not location.startswith("//")


def test_scripts_show_the_token_in_a_header(guarded):
    client = guarded()
    assert client.get("/api/session", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/api/session", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/session", headers={"Authorization": "Bearer täken".encode()}).status_code == 401


def test_other_names_pass_only_where_they_were_given(guarded):
    given = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded().get("/api/session", headers={**given, "Host": "microscope.example:80"}).status_code == 200
    assert guarded().get("/api/session", headers={**given, "Host": "other.example"}).status_code == 421


def test_loopback_is_told_from_the_rest():
    assert all(map(is_loopback, ["127.0.0.1", "localhost", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.4", "127.0.0.1.example"]))


def test_large_bodies_are_refused_by_their_header_and_by_what_comes(client):
    body = b"x" * 300_000
    by_header = client.post("/api/pictures", content=body)
    assert by_header.status_code == 413
    assert "200,000 bytes" in by_header.json()["error"]
    assert client.post("/api/run", content=b"x" * 30_000).status_code == 413

    def unmeasured():
        for _ in range(300):
            yield b"x" * 1000

    assert client.post("/api/pictures", content=unmeasured()).status_code == 413


def test_a_length_that_is_none_is_refused(client):
    response = client.post("/api/pictures", content=b"x", headers={"Content-Length": "-1"})
    assert response.status_code == 413


PATHS = [
    "/../pyproject.toml",
    "/%2e%2e/%2e%2e/pyproject.toml",
    "/modules/..%2f..%2fapp.py",
    "/..%5c..%5capp.py",
    "//etc/passwd",
    "/modules/%00",
    "/.git/config",
    "/app.py",
    "/api/pictures/..%2fsecret.png",
    "/api/pictures/%2e%2e%2fsecret.png/input.png",
    "/api/pictures/secret.png",
    "/api/pictures/%2fetc%2fpasswd.png",
    "/api/results/..%2f..%2fx/0.png",
    "/api/jobs/..%2f..%2fapp.py",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_the_disk(client, path):
    response = client.get(ADDRESS + path)
    assert 400 <= response.status_code < 500
    assert response.json()["error"]
    assert b"striate" not in response.content.replace(b"/api/openapi.json", b"")


def test_pictures_are_known_by_id_alone(client, pictures):
    for name in ("astronaut.png", str(pictures / "astronaut.png"), "../secret.png"):
        response = client.get("/api/predictions", params={"picture": name})
        assert response.status_code == 404
        assert "no picture" in response.json()["error"]


def png_claiming(width: int, height: int) -> bytes:
    """Write a PNG whose header claims a size, with few bytes behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


BAD = {
    "too large a picture": png_claiming(50_000, 50_000),
    "more than the 1 million": encode_png(np.zeros((1100, 1000, 3), np.uint8)),
    "is empty": b"",
    "cut": encode_png(np.zeros((40, 40, 3), np.uint8))[:60],
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "not": b"\x93NUMPY\x01\x00",
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_harmless_picture_is_refused_in_a_sentence(client, text):
    before = client.get("/api/session").json()["pictures"]
    response = client.post("/api/pictures", content=BAD[text], params={"name": "bad\n<b>.png"})
    assert 400 <= response.status_code < 500
    assert response.json()["error"].endswith(".")
    if text not in ("cut", "SVG", "not", "is empty"):
        assert text in response.json()["error"]
    assert client.get("/api/session").json()["pictures"] == before


def picture_of(seed: int, side: int = 24) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode_png(noise)


def test_uploads_are_seen_and_make_room_for_others(client, house):
    ids = []
    for seed in range(5):
        response = client.post("/api/pictures", content=picture_of(seed), params={"name": f"noise\n{seed}"})
        assert response.status_code == 200
        assert response.json()["name"] == f"noise{seed}"
        ids.append(response.json()["id"])
        assert client.get("/api/predictions", params={"picture": ids[-1]}).status_code == 200
    listed = [one["id"] for one in client.get("/api/session").json()["pictures"]]
    assert listed[2:] == ids[2:]  # two samples stay, and three uploads
    assert client.get(f"/api/pictures/{ids[0]}.png").status_code == 404
    assert client.post("/api/pictures", content=picture_of(4)).json()["id"] == ids[4]
    assert len(house.pictures) == 5


def test_uploads_have_room_together(client):
    for seed in (10, 11, 12):
        data = picture_of(seed, 250)  # about 188 kB each, and 400 kB for all
        assert len(data) > 150_000
        assert client.post("/api/pictures", content=data).status_code == 200
    assert len(client.get("/api/session").json()["pictures"]) == 2 + 2


def test_what_turns_a_picture_is_heard(client):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(stream, "JPEG", exif=exif)
    found = client.post("/api/pictures", content=stream.getvalue()).json()
    assert (found["width"], found["height"]) == (20, 30)
