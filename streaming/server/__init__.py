"""Streams over a network: a WebSocket protocol, a server, a client and a web page."""
