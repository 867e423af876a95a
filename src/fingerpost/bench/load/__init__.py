"""The load: WebSocket and HTTP servers and clients, in processes of their own, that check every byte.

The parent's side is `child` (one process) and `clients` (several that work as one); ``python -m`` runs the others:
`origin` (the apps), `tunnel_client` (WebSocket), `request_client` (HTTP), `bulk_client`. What they share: `payload`
(the bytes that are sent), `heads`, `frames` (how a WebSocket carries them), `ledger` (what became of each message) and
`outcome` (what they answer).
"""
