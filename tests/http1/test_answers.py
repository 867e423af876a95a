"""What the proxy says itself: for every reason and every kind of client."""

import json

import pytest

from fingerpost.errors import MessageError
from fingerpost.http1 import answers
from fingerpost.http1.answers import BY_STATUS, Answer, preferred, render

from .oracles import h11_response, llhttp_response
from .reading import Response, lines_of, read_response, split_pairs

ALL = {name: answer for name, answer in vars(answers).items() if isinstance(answer, Answer)}
ACCEPTS = {"json": b"application/json", "html": b"text/html", "text": b"*/*"}
MEDIA_TYPES = {
    "json": b"application/problem+json",
    "html": b"text/html; charset=utf-8",
    "text": b"text/plain; charset=utf-8",
}
# RFC 9209 §2.3, as registered.
ERROR_TYPES = {
    "dns_timeout", "dns_error", "destination_not_found", "destination_unavailable",
    "destination_ip_prohibited",
    "destination_ip_unroutable", "connection_refused", "connection_terminated", "connection_timeout",
    "connection_read_timeout", "connection_write_timeout", "connection_limit_reached", "tls_protocol_error",
    "tls_certificate_error", "tls_alert_received", "http_request_error", "http_request_denied",
    "http_response_incomplete", "http_response_header_section_size", "http_response_header_size",
    "http_response_body_size", "http_response_trailer_section_size", "http_response_trailer_size",
    "http_response_transfer_coding", "http_response_content_coding", "http_response_timeout",
    "http_upgrade_failed", "http_protocol_error", "proxy_internal_response", "proxy_internal_error",
    "proxy_configuration_error", "proxy_loop_detected",
}  # fmt: skip

each_answer = pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in ALL.items()])
each_kind = pytest.mark.parametrize("kind", ACCEPTS)


def read(data: bytes) -> tuple[Response, dict[bytes, bytes]]:
    """An answer as a client reads it: whole, nothing behind it."""
    response = read_response([data])
    assert response is not None
    assert response.size == len(data)
    return response, dict(split_pairs(lines_of(response.fields.kept)))


@each_answer
@each_kind
def test_every_answer_is_a_whole_response_to_all_readers(answer: Answer, kind: str) -> None:
    data = render(answer, ACCEPTS[kind], close=False)
    response, named = read(data)
    assert response.status == answer.status
    assert named[b"content-type"] == MEDIA_TYPES[kind]
    assert named[b"cache-control"] == b"no-store"
    assert named[b"proxy-status"] == f"fingerpost; error={answer.error}".encode()
    for oracle in (h11_response, llhttp_response):
        theirs = oracle(data)
        assert theirs is not None
        assert (theirs.start, theirs.body) == ((b"%d" % response.status, response.reason), response.body)
        assert theirs.size == len(data)


@each_answer
def test_every_error_type_is_a_registered_one(answer: Answer) -> None:
    assert answer.error in ERROR_TYPES


def test_every_status_of_the_contract_has_an_answer() -> None:
    statuses = {answer.status for answer in ALL.values()}
    assert statuses == {400, 403, 404, 405, 408, 410, 421, 431, 502, 503, 504, 508}


def test_the_error_of_a_request_has_the_answer_of_its_status() -> None:
    for status, answer in BY_STATUS.items():
        assert answer.status == MessageError(status, "").status
    assert {400, 405, 421, 431} <= set(BY_STATUS)


@each_kind
def test_all_reasons_of_one_status_have_the_same_body(kind: str) -> None:
    seen: dict[int, set[bytes]] = {}
    for answer in ALL.values():
        seen.setdefault(answer.status, set()).add(read(render(answer, ACCEPTS[kind], close=True))[0].body)
    assert {status for status, found in seen.items() if len(found) != 1} == set()
    assert len({body for found in seen.values() for body in found}) == len(seen)


@each_answer
def test_json_is_a_problem_of_rfc_9457(answer: Answer) -> None:
    response, _ = read(render(answer, b"application/json", close=True))
    problem = json.loads(response.body)
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["type"] == "about:blank"
    assert problem["status"] == answer.status
    assert problem["title"].encode() == response.reason
    assert problem["detail"]


@each_answer
def test_html_is_a_small_page_that_loads_nothing(answer: Answer) -> None:
    page = read(render(answer, b"text/html", close=True))[0].body.decode()
    assert page.startswith("<!doctype html>")
    assert f"<title>{answer.status} " in page
    assert len(page) < 1500
    for loading in ("src=", "href=", "url(", "<script", "{", "http:", "https:"):
        assert loading not in page.replace("{font", "").replace("{color", "").replace("{body", "") or loading == "{"


@each_answer
def test_text_is_one_line(answer: Answer) -> None:
    response, _ = read(render(answer, b"", close=True))
    assert response.body.startswith(b"%d %b: " % (answer.status, response.reason))
    assert response.body.count(b"\n") == 1
    assert response.body.endswith(b"\n")


@each_answer
@each_kind
def test_to_head_the_head_is_the_same_and_the_body_missing(answer: Answer, kind: str) -> None:
    whole = render(answer, ACCEPTS[kind], close=True)
    head = render(answer, ACCEPTS[kind], close=True, head_only=True)
    assert head.endswith(b"\r\n\r\n")
    assert whole.startswith(head)
    assert len(whole) - len(head) == read(whole)[0].fields.content_length


@each_answer
def test_close_is_said_when_the_connection_closes(answer: Answer) -> None:
    assert read(render(answer, b"", close=True))[0].fields.close
    assert not read(render(answer, b"", close=False))[0].fields.close


@each_answer
def test_retry_after_is_said_at_a_limit_and_allow_with_405(answer: Answer) -> None:
    _, named = read(render(answer, b"", close=True))
    assert (b"retry-after" in named) == (answer.status == 503)
    assert named.get(b"retry-after", b"1").isdigit()
    assert (b"allow" in named) == (answer.status == 405)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (b"", "text"),
        (b"*/*", "text"),
        (b"text/*", "text"),
        (b"text/html", "html"),
        (b"TEXT/HTML;charset=utf-8", "html"),
        (b"application/xhtml+xml", "html"),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "html"),
        (b"application/json", "json"),
        (b"application/json, text/plain, */*", "json"),
        (b"application/problem+json", "json"),
        (b"text/html;q=0.5, application/json", "json"),
        (b"application/json;q=0.5, text/html", "html"),
        (b"application/json;q=0.1 , text/html; q=0.2", "html"),
        (b"text/plain, text/html;q=0.9", "text"),
        (b"text/html;q=0", "text"),
        (b"text/html;Q=0, application/json;Q=0.1", "json"),
        (b"text/html;q=x", "text"),
        (b"text/html;q=nan, application/json;q=0.1", "json"),
        (b"text/html;q=", "text"),
        (b"image/png", "text"),
        (b",;,;;=,", "text"),
        (b"\xff\xfe", "text"),
    ],
)
def test_the_client_gets_the_kind_that_it_likes_best(accept: bytes, kind: str) -> None:
    assert preferred(accept) == kind
    assert read(render(answers.LOOP, accept, close=True))[1][b"content-type"] == MEDIA_TYPES[kind]
