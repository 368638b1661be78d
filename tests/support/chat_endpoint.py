"""A server on a port of its own that speaks the OpenAI API for chat completions, and does wrong on request.

`say` answers one request's JSON with a message; `fault` is what goes wrong instead. What was received is kept.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-a-key-that-nobody-may-ever-see"

Json = dict[str, Any]
Fault = Callable[["Handler"], None]


def calls(name: str, thought: str = "", **arguments: Any) -> Json:
    """A message that calls one tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {
        "role": "assistant",
        "content": thought,
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
    }


@dataclass
class ChatServer:
    """What the server says and has seen."""

    say: Callable[[Json], Json] = lambda request: {"role": "assistant", "content": "A hedge."}
    fault: Fault | None = None
    requests: list[Json] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Up to /chat/completions."""
        return f"http://127.0.0.1:{self.port}/v1"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    chat: ChatServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200 if self.headers["Authorization"] == f"Bearer {KEY}" else 401, {"data": []})

    def do_POST(self) -> None:
        chat = self.chat
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat.authorizations.append(self.headers["Authorization"])
        chat.requests.append(request)
        if self.path != "/v1/chat/completions":
            self.answer(404, {"error": {"message": f"no path {self.path}"}})
        elif chat.fault is not None:
            chat.fault(self)
        else:
            message = chat.say(request)
            reason = "tool_calls" if message.get("tool_calls") else "stop"
            choice = {
                "index": 0,
                "message": message,
                "finish_reason": reason,
                "logprobs": message.pop("logprobs", None),
            }
            usage = {"prompt_tokens": 700, "completion_tokens": 9}
            self.answer(200, {"object": "chat.completion", "choices": [choice], "usage": usage})

    def answer(self, status: int, body: Json | bytes, **headers: str) -> None:
        """Send one response."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@contextmanager
def chat_server(**given: Any) -> Iterator[ChatServer]:
    """Serve until the block ends."""
    chat = ChatServer(**given)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"chat": chat}))
    server.daemon_threads = True
    chat.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield chat
    finally:
        chat.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


# What can go wrong


def unauthorized(handler: Handler) -> None:
    """Repeats the key, as some do."""
    handler.answer(401, {"error": {"message": f"Incorrect API key provided: {handler.headers['Authorization']}"}})


def busy(handler: Handler) -> None:
    handler.answer(429, {"error": {"message": "Rate limit reached"}}, Retry_After="0.01")


def broken_down(handler: Handler) -> None:
    handler.answer(500, b"<html>Internal Server Error</html>")


def redirecting(handler: Handler) -> None:
    handler.answer(307, b"", Location="http://127.0.0.1:1/elsewhere?token=abc")


def nonsense(handler: Handler) -> None:
    handler.answer(200, b"data: {not json")


def wrong_shape(handler: Handler) -> None:
    handler.answer(200, {"choices": [{"message": 7}]})


def hanging_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


def slow(handler: Handler) -> None:
    handler.chat.ended.wait(20)


def endless(handler: Handler) -> None:
    """A body without an end, quickly."""
    _drip(handler, b" " * 65536, 0.0)


def trickling(handler: Handler) -> None:
    """A body without an end, a byte at a time."""
    _drip(handler, b" ", 0.02)


def _drip(handler: Handler, piece: bytes, pause_s: float) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        while not handler.chat.ended.is_set():
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(pause_s)
    except OSError:
        handler.close_connection = True
