"""The accepted language is a subset of what h11 and llhttp accept, and means the same to all three."""

from collections.abc import Callable

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fingerpost.errors import MessageError
from fingerpost.http1 import rewrite
from fingerpost.http1.framing import encode_chunk, encode_last_chunk
from fingerpost.http1.grammar import list_items
from fingerpost.http1.head import Fields

from . import messages
from .oracles import Oracle, h11_request, h11_response, llhttp_request, llhttp_response
from .reading import Pairs, Request, Response, byte_by_byte, lines_of, read_request, read_response, split_pairs

REQUEST_ORACLES = [h11_request, llhttp_request]
RESPONSE_ORACLES = [h11_response, llhttp_response]
CLIENT = rewrite.Client(b"192.0.2.7", b"https", b"443", trusted=False)

often = settings(max_examples=150, deadline=None)


def assert_same_fields(ours: Fields, theirs: Pairs, *, request: bool) -> None:
    """Everything that they saw, we saw, with the same value and in the same order.

    What we drop at once is left out of the comparison, by rules that are spelled out here again: fields that
    Connection names, and look-alikes of the fields that a proxy speaks through.
    """
    named = {item.lower() for name, value in theirs if name == b"connection" for item in list_items([value])}
    named.discard(b"close")  # an option, never a field
    expected_kept = []
    expected_special: dict[bytes, list[bytes]] = {}
    for name, value in theirs:
        if name in ours.special:
            expected_special.setdefault(name, []).append(value)
        elif name in named or (request and is_a_proxys_own(name)):
            continue
        else:
            expected_kept.append((name, value))
    assert split_pairs(lines_of(ours.kept)) == expected_kept
    special = {name: list(values) for name, values in ours.special.items()}
    if b"transfer-encoding" in special:  # h11 gives it in lower case
        special[b"transfer-encoding"] = [b"chunked"]
        expected_special[b"transfer-encoding"] = [v.lower() for v in expected_special[b"transfer-encoding"]]
    assert special == expected_special


def is_a_proxys_own(name: bytes) -> bool:
    """Whether CGI and WSGI make the same variable of it as of a field that we don't pass on as it is."""
    plain = name.replace(b"_", b"-")
    return plain in PROXYS_OWN or plain.startswith(b"x-forwarded-")


PROXYS_OWN = set(
    b"cdn-loop connection content-length expect forwarded host http2-settings keep-alive proxy-authorization "
    b"proxy-connection te transfer-encoding upgrade x-real-ip".split()
)


def assert_request_read_alike(data: bytes, ours: Request, oracle: Oracle) -> None:
    theirs = oracle(data)
    assert theirs is not None, "we see a whole request, they wait for more"
    assert theirs.start == (ours.method, ours.target)
    assert_same_fields(ours.fields, theirs.fields, request=True)
    if oracle is llhttp_request and ours.fields.upgrade and (ours.body or ours.fields.chunked):
        # httptools takes what follows an offered upgrade for the new protocol's bytes, h11 for the body.
        # No app has to choose: the offer is not passed on (`offered_upgrade`).
        assert not rewrite.offered_upgrade(ours.fields)
        return
    assert theirs.body == ours.body
    assert theirs.size == ours.size
    assert split_pairs(ours.trailers) == [
        pair for pair in theirs.trailers if not is_a_proxys_own(pair[0]) and pair[0] != b"trailer"
    ]


@given(messages.valid_requests())
@often
def test_a_valid_request_means_the_same_to_all(data: bytes) -> None:
    ours = read_request([data])
    assert ours is not None
    for oracle in REQUEST_ORACLES:
        assert_request_read_alike(data, ours, oracle)


@given(st.one_of(messages.nearly_valid_requests(), messages.damaged(messages.valid_requests())))
@often
def test_an_accepted_request_is_accepted_by_all(data: bytes) -> None:
    try:
        ours = read_request([data])
    except MessageError:
        return
    if ours is not None:
        for oracle in REQUEST_ORACLES:
            assert_request_read_alike(data, ours, oracle)


@given(st.lists(messages.valid_requests(), min_size=2, max_size=3))
@often
def test_pipelined_requests_begin_where_all_see_them_begin(requests: list[bytes]) -> None:
    data = b"".join(requests)
    for request in requests:
        ours = read_request([data])
        assert ours is not None
        assert ours.size == len(request)
        for oracle in REQUEST_ORACLES:
            assert_request_read_alike(data, ours, oracle)
        data = data[ours.size :]


@given(st.one_of(messages.nearly_valid_requests(), messages.valid_requests()), st.data())
@often
def test_a_request_means_the_same_however_it_is_cut(data: bytes, draws: st.DataObject) -> None:
    at = draws.draw(st.integers(0, len(data)))
    whole = _outcome(read_request, [data])
    assert _outcome(read_request, byte_by_byte(data)) == whole
    assert _outcome(read_request, [data[:at], data[at:]]) == whole


def _outcome(read: Callable[[list[bytes]], Request | Response | None], pieces: list[bytes]) -> object:
    """What comes of the pieces, in a form that can be compared."""
    try:
        message = read(pieces)
    except MessageError:
        return "refused"
    if message is None:
        return "not whole"
    fields = message.fields
    return [fields.kept, fields.special, *(part for part in message if part is not fields)]


# --- what goes upstream -------------------------------------------------------------------------------------


def relayed(request: Request) -> bytes:
    """The request as the app gets it."""
    upgrade = b"" if request.http10 else rewrite.offered_upgrade(request.fields)
    tail = rewrite.request_tail(request.fields, CLIENT, b"own-id", upgrade, request.http10)
    head = b"%b %b HTTP/1.1\r\n%b" % (request.method, request.path, tail)
    if not request.fields.chunked:
        return head + request.body
    chunk = encode_chunk(request.body) if request.body else b""
    return head + chunk + encode_last_chunk(b"".join(b"\r\n" + line for line in request.trailers))


@given(st.one_of(messages.valid_requests(), messages.nearly_valid_requests()))
@often
def test_what_goes_upstream_is_read_by_all_as_what_came_in(data: bytes) -> None:
    try:
        came = read_request([data])
    except MessageError:
        came = None
    assume(came is not None)
    assert came is not None
    wire = relayed(came)
    again = read_request([wire])
    assert again is not None
    assert (again.method, again.target, again.body) == (came.method, came.path, came.body)
    assert (again.trailers, again.size) == (came.trailers, len(wire))
    assert again.fields.host == came.fields.host
    assert again.fields.kept == came.fields.kept
    assert (again.fields.chunked, again.fields.content_length or 0) == (
        came.fields.chunked,
        came.fields.content_length or 0,
    )
    assert rewrite.loops(again.fields, b"own-id")
    for oracle in REQUEST_ORACLES:
        assert_request_read_alike(wire, again, oracle)
        theirs = oracle(wire)
        assert theirs is not None
        assert theirs.size == len(wire)
        assert theirs.body == came.body


# --- responses ----------------------------------------------------------------------------------------------


def assert_response_read_alike(data: bytes, ours: Response, oracle: Oracle) -> None:
    theirs = oracle(data)
    assert theirs is not None, "we see a whole response, they wait for more"
    assert theirs.start == (b"%d" % ours.status, ours.reason)
    assert_same_fields(ours.fields, theirs.fields, request=False)
    assert theirs.body == ours.body
    assert theirs.size == ours.size


@given(messages.valid_responses())
@often
def test_a_valid_response_means_the_same_to_all(data: bytes) -> None:
    ours = read_response([data])
    assert ours is not None
    for oracle in RESPONSE_ORACLES:
        assert_response_read_alike(data, ours, oracle)


@given(st.one_of(messages.nearly_valid_responses(), messages.damaged(messages.valid_responses())))
@often
def test_an_accepted_response_is_accepted_by_all(data: bytes) -> None:
    try:
        ours = read_response([data])
    except MessageError:
        return
    if ours is not None:
        for oracle in RESPONSE_ORACLES:
            assert_response_read_alike(data, ours, oracle)


@given(st.one_of(messages.nearly_valid_responses(), messages.valid_responses()), st.data())
@often
def test_a_response_means_the_same_however_it_is_cut(data: bytes, draws: st.DataObject) -> None:
    at = draws.draw(st.integers(0, len(data)))
    whole = _outcome(read_response, [data])
    assert _outcome(read_response, byte_by_byte(data)) == whole
    assert _outcome(read_response, [data[:at], data[at:]]) == whole
