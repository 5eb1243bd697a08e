"""A server of a herd in plain Python, as a good student would write it from the course's text.

    python3 herd_asyncio.py NAME HERD_FILE [streams|protocol]

It is complete: IAMAT, WHATSAT, AT, invalid commands, flooding over persistent connections that are dialled again
when they break, and a log. `streams` is the high-level API of asyncio, which the course teaches; `protocol` is the
low-level one, which is faster.
"""

import asyncio
import json
import os
import re
import sys
import time

LOCATION = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)", re.ASCII)
TIME = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?", re.ASCII)
NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class Herd:
    """One server: its store, its links, and its handling of lines."""

    def __init__(self, name, file):
        with open(file, encoding="utf-8") as text:
            self.file = json.load(text)
        servers = self.file["servers"]
        self.name = name
        self.port = port_of(servers[name])
        self.neighbours = {
            other: port_of(server)
            for other, server in servers.items()
            if name in server["talks_to"] or other in servers[name]["talks_to"]
        }
        self.links = {}  # neighbour -> writer
        self.known = {}  # client -> (time in ns, AT line)
        folder = os.path.join(os.path.dirname(file), self.file["log"]["dir"])
        os.makedirs(folder, exist_ok=True)
        self.log_file = open(os.path.join(folder, name + ".log"), "a", encoding="utf-8")

    def log(self, text):
        self.log_file.write(f"{time.time():.6f} {self.name} {text}\n")

    def line(self, line, origin):
        """Handles a line. Returns the reply, None, or a question to Places to be awaited."""
        fields = line.split()
        if not fields:
            return None
        self.log(f"received {line.strip()!r}")
        if fields[0] == "IAMAT" and len(fields) == 4:
            reply = self.iamat(*fields[1:])
        elif fields[0] == "WHATSAT" and len(fields) == 4:
            reply = self.whatsat(*fields[1:])
        elif fields[0] == "AT" and len(fields) == 6 and origin:
            self.store(fields[3], nanoseconds(fields[5]), line, origin)
            return None
        else:
            reply = None
        if reply is None:
            reply = f"? {line.strip()}\n"
        if isinstance(reply, str):
            self.log(f"sent to client {reply.rstrip()!r}")
        return reply

    def iamat(self, client, location, sent):
        place = LOCATION.fullmatch(location)
        moment = nanoseconds(sent)
        if place is None or moment is None:
            return None
        if abs(float(place[1])) > 90 or abs(float(place[2])) > 180:
            return None
        skew = time.time_ns() - moment
        sign = "-" if skew < 0 else "+"
        seconds, rest = divmod(abs(skew), 1_000_000_000)
        reply = f"AT {self.name} {sign}{seconds}.{rest:09d} {client} {location} {sent}\n"
        self.store(client, moment, reply, None)
        return reply

    def store(self, client, moment, line, origin):
        known = self.known.get(client)
        if moment is None or known is not None and known[0] >= moment:
            return
        self.known[client] = (moment, line)
        data = line.encode()
        for neighbour, writer in self.links.items():
            if neighbour != origin:
                writer.write(data)
                self.log(f"sent to server {neighbour} {line.rstrip()!r}")

    def whatsat(self, client, radius, bound):
        if client not in self.known or not NUMBER.fullmatch(radius) or not bound.isdecimal():
            return None
        if float(radius) > 50 or int(bound) > 20:
            return None
        return self.places(self.known[client][1], float(radius), int(bound))

    async def places(self, line, radius, bound):
        latitude, longitude = LOCATION.fullmatch(line.split()[4]).groups()
        base = self.file["places"]["url"].removeprefix("http://")
        host, _, path = base.partition("/")
        host, _, port = host.partition(":")
        path = f"/{path}/maps/api/place/nearbysearch/json".replace("//", "/")
        query = f"location={latitude.lstrip('+')},{longitude.lstrip('+')}&radius={radius * 1000}&key=none"
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {path}?{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
            answer = json.loads(await reader.readexactly(length))
            writer.close()
            answer["results"] = answer["results"][:bound]
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            answer = {"html_attributions": [], "results": [], "status": "UNKNOWN_ERROR"}
            self.log(f"Places failed: {error!r}")
        text = re.sub(r"\n\n+", "\n", json.dumps(answer, indent=3)).strip()
        self.log(f"sent to client {line.rstrip()!r} and {len(text)} bytes of JSON")
        return f"{line}{text}\n\n"

    async def keep_link(self, neighbour, port):
        """Dials a neighbour, and dials again when the connection breaks."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"PEER {self.name}\n".encode())
                self.links[neighbour] = writer
                self.log(f"New connection to server {neighbour} was made")
                await reader.read()
                writer.close()
            except OSError:
                pass
            if self.links.pop(neighbour, None):
                self.log(f"Connection to server {neighbour} was dropped")
            await asyncio.sleep(0.1)

    async def handle(self, reader, writer):
        """Serves one connection with asyncio streams."""
        origin = None
        try:
            while data := await reader.readline():
                line = data.decode("utf-8", "replace")
                if line.startswith("PEER "):
                    origin = line.split()[1]
                    self.log(f"New connection from server {origin} was made")
                    continue
                reply = self.line(line, origin)
                if reply is not None and not isinstance(reply, str):
                    reply = await reply
                if reply:
                    writer.write(reply.encode())
                    await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    async def flush_log(self):
        while True:
            await asyncio.sleep(0.2)
            self.log_file.flush()

    async def run(self, api):
        tasks = [asyncio.ensure_future(self.keep_link(*link)) for link in self.neighbours.items()]
        tasks.append(asyncio.ensure_future(self.flush_log()))
        if api == "protocol":
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: Lines(self), "127.0.0.1", self.port, backlog=1024)
        else:
            server = await asyncio.start_server(self.handle, "127.0.0.1", self.port, backlog=1024)
        async with server:
            await server.serve_forever()


class Lines(asyncio.Protocol):
    """One connection with asyncio protocols. All replies to the lines of one read are written together."""

    def __init__(self, herd):
        self.herd = herd
        self.origin = None
        self.rest = b""
        self.waiting = None  # the task that answers the lines after a WHATSAT, in order
        self.eof = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.answer([line.decode("utf-8", "replace") + "\n" for line in lines])

    def eof_received(self):
        self.eof = True
        if self.rest:
            self.answer([self.rest.decode("utf-8", "replace") + "\n"])
        return self.waiting is not None

    def answer(self, lines):
        replies = []
        for line in lines:
            if line.startswith("PEER "):
                self.origin = line.split()[1]
                continue
            reply = self.herd.line(line, self.origin)
            if self.waiting is not None or reply is not None and not isinstance(reply, str):
                if replies:
                    self.transport.write("".join(replies).encode())
                    replies = []
                self.waiting = asyncio.ensure_future(self.in_turn(self.waiting, reply))
            elif reply:
                replies.append(reply)
        if replies:
            self.transport.write("".join(replies).encode())

    async def in_turn(self, before, reply):
        if before is not None:
            await before
        if reply is not None and not isinstance(reply, str):
            reply = await reply
        if reply:
            self.transport.write(reply.encode())
        if self.waiting is asyncio.current_task():
            self.waiting = None
            if self.eof:
                self.transport.close()


def nanoseconds(text):
    match = TIME.fullmatch(text)
    return match and int(match[1]) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))


def port_of(server):
    return int(server["listen"].rpartition(":")[2])


if __name__ == "__main__":
    asyncio.run(Herd(sys.argv[1], sys.argv[2]).run(sys.argv[3] if len(sys.argv) > 3 else "streams"))
