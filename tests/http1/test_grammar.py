"""The byte tables, against the grammar's own words."""

import pytest

from fingerpost.http1 import grammar

EVERY_BYTE = [bytes((byte,)) for byte in range(256)]


def test_a_token_holds_no_separator_no_space_and_no_control_byte() -> None:
    refused = {byte for byte in EVERY_BYTE if not grammar.is_token(byte)}
    separators = {bytes((byte,)) for byte in b'"(),/:;<=>?@[\\]{} '}
    assert refused == separators | {bytes((byte,)) for byte in (*range(0x20), *range(0x7F, 0x100))}
    assert not grammar.is_token(b"")
    assert grammar.is_token(b"Content-Type")


def test_field_text_is_everything_but_the_control_bytes() -> None:
    refused = {byte for byte in EVERY_BYTE if byte.translate(None, grammar.FIELD_TEXT)}
    assert refused == {bytes((byte,)) for byte in (*range(0x20), 0x7F) if byte != 0x09}


def test_a_target_is_visible_ascii_without_a_fragment() -> None:
    refused = {byte for byte in EVERY_BYTE if byte.translate(None, grammar.TARGET)}
    assert refused == {b"#"} | {bytes((byte,)) for byte in (*range(0x21), *range(0x7F, 0x100))}


@pytest.mark.parametrize("data", [b"", b"a", b"\r\n", b"a\r\nb\r\n", b"a\r", b"\r\n\r\n", b"a\r\n\r"])
def test_whole_or_unfinished_line_ends_are_not_bare(data: bytes) -> None:
    assert not grammar.has_bare_line_end(data)


@pytest.mark.parametrize("data", [b"\n", b"a\nb", b"\ra", b"a\r\rb", b"\r\r\n", b"\n\r", b"a\r\nb\n", b"\r\n\n"])
def test_a_lone_cr_or_lf_is_bare(data: bytes) -> None:
    assert grammar.has_bare_line_end(data)


def test_list_items_are_stripped_and_empty_ones_left_out() -> None:
    assert grammar.list_items([b"a, b\t,,", b"", b" C "]) == [b"a", b"b", b"C"]
