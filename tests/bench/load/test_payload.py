from fingerpost.bench.load.payload import websocket_key


def test_a_key_can_be_made_of_an_amount_beyond_32_bits() -> None:
    assert len(websocket_key(6_000_000_000)) == 24
