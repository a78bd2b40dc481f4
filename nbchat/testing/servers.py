"""One server for each wire format; they check requests by rules of their own, not with the providers' code."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aiohttp import web

from nbchat.messages import Finish, Reasoning, Usage, text_of
from nbchat.providers.flowgpt import FlowGpt
from nbchat.providers.gprochat import PUBLIC_KEY
from nbchat.testing.script import Piece
from nbchat.testing.server import LoopbackServer, Received, Refused, check_body, check_headers, check_messages, require

_CHAT = {"model": str, "messages": list, "stream": bool}


class FlowGptServer(LoopbackServer):
    """Speaks FlowGPT's wire format: signed JSON in, JSON lines out."""

    path = "/v3/chat-anonymous"
    content_type = "application/json"

    _HEADERS: ClassVar = {
        "user-agent": r"Mozilla/5\.0 .*Ubuntu.* Firefox/122\.0",
        "accept": r"\*/\*",
        "accept-language": r"en-US;q=0\.7,en;q=0\.3",
        "referer": "https://flowgpt.com/",
        "content-type": "application/json",
        "authorization": "Bearer null",
        "origin": "https://flowgpt.com",
        "sec-fetch-dest": "empty",
        "sec-fetch-mode": "cors",
        "sec-fetch-site": "same-site",
        "te": "trailers",
        "x-flow-device-id": "f-[a-z0-9]{19}",
        "x-nonce": "[0-9a-f]{32}",
        "x-signature": "[0-9a-f]{32}",
        "x-timestamp": "[0-9]{10}",
    }
    _BODY: ClassVar = {
        "model": str,
        "nsfw": bool,
        "question": str,
        "history": list,
        "system": str,
        "temperature": (int, float),
        "promptId": str,
        "documentIds": list,
        "chatFileDocumentIds": list,
        "generateImage": bool,
        "generateAudio": bool,
    }

    def _check(self, received: Received) -> None:
        headers, body = received.headers, received.body
        check_headers(headers, self._HEADERS)
        proof = f"{headers['x-timestamp']}-{headers['x-nonce']}-{headers['authorization']}"
        signature = hashlib.md5(proof.encode(), usedforsecurity=False).hexdigest()
        require(headers["x-signature"] == signature, "the signature is wrong", 401)
        require(abs(time.time() - int(headers["x-timestamp"])) < 300, "the time stamp is old", 401)
        earlier = [other.headers.get("x-nonce") for other in self.requests if other is not received]
        require(headers["x-nonce"] not in earlier, "the nonce was used before", 401)
        check_body(body, self._BODY)
        require(body["model"] in FlowGpt.models, f"there is no model {body['model']}", 404)
        require(body["promptId"] == f"model-{body['model']}", "promptId is not that of the model")
        check_messages(body["history"], ("user", "assistant"))

    def _default(self, body: Any) -> str:
        return _echo(body["model"], body["question"])

    def _frame(self, piece: Any) -> bytes:
        event = (
            {"event": "error", "data": str(piece)} if isinstance(piece, Exception) else {"event": "text", "data": piece}
        )
        return json.dumps(event).encode() + b"\n"


class GPROChatServer(LoopbackServer):
    """Speaks GPROChat's wire format: a signed prompt in, plain text out.

    Args:
        key: With which requests have to be signed.
    """

    path = "/api/generate"
    content_type = "text/plain; charset=utf-8"
    has_error_events = False

    _HEADERS: ClassVar = {
        "accept": r"\*/\*",
        "origin": r"https://gprochat\.com",
        "referer": r"https://gprochat\.com/",
        "user-agent": r"Mozilla/5\.0 .*Linux.* Chrome/129\..*",
        "content-type": "text/plain;charset=UTF-8",
    }

    def __init__(self, *, key: str = PUBLIC_KEY, pace: float = 0) -> None:
        super().__init__(pace=pace)
        self._key = key

    def _check(self, received: Received) -> None:
        body = received.body
        check_headers(received.headers, self._HEADERS)
        check_body(body, {"messages": list, "time": int, "pass": type(None), "sign": str})
        prompt = _prompt(body)
        require(prompt is not None, "messages is not one prompt")
        proof = hashlib.sha256(f"{body['time']}:{prompt}:{self._key}".encode(errors="replace")).hexdigest()
        require(body["sign"] == proof, "the signature is wrong", 401)
        require(abs(time.time() * 1000 - body["time"]) < 300_000, "the time stamp is old", 401)

    def _default(self, body: Any) -> str:
        return _echo("GPROChat", _prompt(body) or "")

    def _frame(self, piece: Any) -> bytes:
        return str(piece).encode()


class OpenAIServer(LoopbackServer):
    """Speaks OpenAI's chat completions: JSON in, server-sent events out; also lists its models.

    Args:
        models: The models that it has.
        api_key: The key that requests have to carry; none by default.
    """

    path = "/v1/chat/completions"
    content_type = "text/event-stream"

    def __init__(self, *, models: Sequence[str] = ("loopback",), api_key: str = "", pace: float = 0) -> None:
        super().__init__(pace=pace)
        self.models = models
        self._api_key = api_key

    @property
    def url(self) -> str:
        """The base URL."""
        return self.endpoint.removesuffix("/chat/completions")

    def _more_routes(self) -> Sequence[web.RouteDef]:
        return [web.get("/v1/models", self._list_models)]

    async def _list_models(self, request: web.Request) -> web.Response:
        rows = [{"id": model, "object": "model", "owned_by": "nbchat"} for model in self.models]
        try:
            self._check_key(request.headers)
        except Refused as refused:
            return self._error(str(refused), refused.status)
        return web.json_response({"object": "list", "data": rows})

    def _check(self, received: Received) -> None:
        self._check_key(received.headers)
        require(
            received.headers.get("content-type") == "application/json", "the content type is not application/json", 415
        )
        check_body(received.body, _CHAT, exact=False)
        require(received.body["stream"], "the request does not ask for a stream")
        require(received.body["messages"], "messages is empty")
        check_messages(received.body["messages"], ("system", "user", "assistant"))
        require(received.body["model"] in self.models, f"The model {received.body['model']!r} does not exist", 404)

    def _check_key(self, headers: Mapping[str, str]) -> None:
        known = not self._api_key or headers.get("authorization") == f"Bearer {self._api_key}"
        require(known, "Incorrect API key provided", 401)

    def _default(self, body: Any) -> str:
        return _echo(body["model"], text_of(body["messages"][-1]))

    def _frame(self, piece: Any) -> bytes:
        if isinstance(piece, Exception):
            return _event({"error": {"message": str(piece), "type": "server_error", "code": None}})
        if isinstance(piece, Usage):
            usage = {"prompt_tokens": piece.prompt_tokens, "completion_tokens": piece.completion_tokens}
            return _event({"choices": [], "usage": usage})
        delta = {"reasoning_content": piece.text} if isinstance(piece, Reasoning) else {"content": piece}
        finish = isinstance(piece, Finish)
        choice = {"index": 0, "delta": {} if finish else delta, "finish_reason": piece.reason if finish else None}
        return _event({"object": "chat.completion.chunk", "choices": [choice]})

    def _end(self, received: Received, pieces: Sequence[Piece]) -> bytes:
        finish = b"" if any(isinstance(piece, Finish) for piece in pieces) else self._frame(Finish("stop"))
        asked = (received.body.get("stream_options") or {}).get("include_usage")
        counted = any(isinstance(piece, Usage) for piece in pieces)
        words = sum(len(piece.split()) for piece in pieces if isinstance(piece, str))
        usage = self._frame(Usage(len(received.data) // 4, words)) if asked and not counted else b""
        return finish + usage + b"data: [DONE]\n\n"


def _prompt(body: Any) -> str | None:
    match body["messages"]:
        case [{"role": "user", "parts": [{"text": str(prompt)}]}]:
            return prompt
    return None


def _echo(model: str, question: str) -> str:
    return (
        f"This is a test server on this machine, standing in for {model}; no language model is behind it. "
        f"It was asked: {question}"
    )


def _event(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()
