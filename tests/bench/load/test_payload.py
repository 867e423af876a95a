"""The bytes that are sent."""

import base64

from fingerpost.bench.load.payload import websocket_accept, websocket_key


def test_a_key_is_a_nonce_of_sixteen_bytes() -> None:
    keys = {websocket_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key)) for key in keys} == {16}


def test_a_key_is_accepted_as_in_the_rfc() -> None:
    assert websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
