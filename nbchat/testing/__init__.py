"""Fakes to test against: a provider that follows a script, and servers on this machine for each wire format.

    provider = ScriptedProvider(["Hel", 0.1, "lo"], ConnectionError("gone"))
    with FlowGptServer() as server, server.pointing(FlowGpt):
        server.reply("Hel", 0.1, "lo")

A reply is made of pieces, played in order: a chunk (text, `Reasoning`, `Usage`, `Finish`), a number of seconds
to wait, a `Gate` at which it waits until the test opens it, or an exception. Servers check what they are sent
as the real services do and refuse, with a reason, what those would; they also send `bytes` as they are, close
the connection at a `ConnectionError`, and report any other exception as an error event, if their format has one.
A reply that holds bytes or an exception gets no proper end added.
"""

from nbchat.testing.script import Gate
from nbchat.testing.scripted import Call, ScriptedProvider
from nbchat.testing.server import LoopbackServer, Received
from nbchat.testing.servers import FlowGptServer, GPROChatServer, OpenAIServer

__all__ = [
    "Call",
    "FlowGptServer",
    "GPROChatServer",
    "Gate",
    "LoopbackServer",
    "OpenAIServer",
    "Received",
    "ScriptedProvider",
]
