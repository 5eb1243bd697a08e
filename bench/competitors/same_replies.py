"""Checks that the herds in other languages are complete: each must give the same replies as this herd, and over HTTP the
same responses.

    python3 bench/competitors/same_replies.py PROGRAM_OF_THE_HERD PROGRAM_OF_THE_BENCH

It starts two servers of each kind. A client sends valid and invalid commands to the first one, another client sends
WHATSATs to the second one. Over HTTP, what an error says may differ, too. With any other difference the exit status is 1.
"""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TO_RILEY = b"""IAMAT kiwi +34.068930-118.445127 1621464827.959498503
\x20
FOO bar
 WHATSAT unknown 10 5\x20
IAMAT x +99-1 5
IAMAT y +9-1 x
IAMAT z

AT Riley +0 a +1-1 5
WHATSAT kiwi 51 5
WHATSAT kiwi 5 21
IAMAT last +1-2 7"""
TO_JAQUEZ = b"""WHATSAT kiwi 10 5
IAMAT kiwi +1-1 3
WHATSAT kiwi 10 2
BAD"""

# Methods, IDs and bodies of requests on one connection.
OVER_HTTP = [
    ("PUT", "kiwi", '{"latitude":34.068930,"longitude":-118.445100,"time":"1621464827.959498503"}'),
    ("GET", "kiwi", None),
    ("PUT", "kiwi", '{"latitude":1,"longitude":2,"time":1621464827}'),
    ("GET", "kiwi", None),
    ("PUT", "a%2fb", '{"time":1621464828.5, "longitude" : -0.50, "latitude":0}'),
    ("GET", "a%2Fb", None),
    ("GET", "nobody", None),
    ("PUT", "a%20b", '{"latitude":1,"longitude":2}'),
    ("PUT", "kiwi", '{"latitude":91,"longitude":2}'),
    ("PUT", "kiwi", '{"latitude":1,"longitude":2,"time":"x"}'),
    ("PUT", "kiwi", "no JSON"),
    ("GET", "kiwi", None),
]


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def ask(port, text):
    """Sends `text`, half-closes and reads to the end, like a grader of the course."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        replies = b""
        while part := connection.recv(65536):
            replies += part
        return replies


def herd_file(folder, riley, jaquez, places, web=""):
    # In the format of the bench, because the herd in Java parses no other.
    text = f"""{{
  "herd": "bench",
  "servers": {{
    "Riley": {{ "listen": "127.0.0.1:{riley}", {web}"talks_to": ["Jaquez"] }},
    "Jaquez": {{ "listen": "127.0.0.1:{jaquez}", "talks_to": [] }}
  }},
  "places": {{ "url": "http://127.0.0.1:{places}/kept", "timeout_ms": 5000 }},
  "log": {{ "dir": "logs", "level": "traffic" }}
}}
"""
    file = os.path.join(folder, "herd.json")
    with open(file, "w", encoding="utf-8") as output:
        output.write(text)
    return file


def replies_of(command, places):
    """The replies of two servers, with skews replaced and the answers of Places parsed."""
    riley, jaquez = free_port(), free_port()
    servers = []
    with tempfile.TemporaryDirectory() as folder:
        file = herd_file(folder, riley, jaquez, places)
        environment = {**os.environ, "PLACES_API_KEY": "none"}
        try:
            for name in ("Riley", "Jaquez"):
                words = [word.format(name=name, file=file) for word in command]
                servers.append(subprocess.Popen(words, env=environment))
            end = time.monotonic() + 30
            while not (listens(riley) and listens(jaquez)):
                if time.monotonic() > end:
                    raise TimeoutError(f"{command[0]} does not listen")
                time.sleep(0.05)
            time.sleep(1)  # until the links are up
            first = ask(riley, TO_RILEY)
            time.sleep(0.5)
            second = ask(jaquez, TO_JAQUEZ)
        finally:
            for server in servers:
                server.kill()
                server.wait()
    answers = [json.loads(answer) for answer in re.findall(rb"(?s)\{.*?\n\n", second)]
    shown = [(answer["status"], [result["name"] for result in answer["results"]]) for answer in answers]
    text = re.sub(rb"(?s)\{.*?\n\n", b"JSON\n\n", second)
    return [re.sub(rb" [+-]\d+\.\d{9} ", b" SKEW ", reply) for reply in (first, text)], shown


def responses_of(command, port_of):
    """The statuses and bodies over HTTP, with skews replaced. `port_of` chooses between the ports of `listen` and `http`."""
    ports = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = herd_file(folder, ports[0], free_port(), free_port(), f'"http": "127.0.0.1:{ports[1]}", ')
        words = [word.format(name="Riley", file=file) for word in command]
        server = subprocess.Popen(words, env={**os.environ, "PLACES_API_KEY": "none"})
        try:
            end = time.monotonic() + 30
            while not listens(ports[port_of]):
                if time.monotonic() > end:
                    raise TimeoutError(f"{command[0]} does not listen")
                time.sleep(0.05)
            connection = http.client.HTTPConnection("127.0.0.1", ports[port_of], timeout=10)
            responses = []
            for method, client, body in OVER_HTTP:
                connection.request(method, f"/v1/clients/{client}", body)
                response = connection.getresponse()
                text = response.read()
                if response.status != 200:
                    text = b"an error" if "error" in json.loads(text) else text
                fields = [response.getheader("Content-Type"), response.getheader("Cache-Control")]
                responses.append((response.status, fields, re.sub(rb"[+-]\d+\.\d{9}(?=[ \"])", b"SKEW", text)))
            return responses
        finally:
            server.kill()
            server.wait()


def main():
    herd, bench = sys.argv[1:]
    commands = {
        "herd": [herd, "serve", "{name}", "-c", "{file}"],
        "asyncio streams": ["python3", f"{HERE}/herd_asyncio.py", "{name}", "{file}", "streams"],
        "asyncio protocol": ["python3", f"{HERE}/herd_asyncio.py", "{name}", "{file}", "protocol"],
        "Node.js": ["node", f"{HERE}/herd_node.js", "{name}", "{file}"],
        "Java": ["java", f"{HERE}/Herd.java", "{name}", "{file}"],
    }
    port = free_port()
    places = subprocess.Popen([bench, "serve-places", f"127.0.0.1:{port}"])
    try:
        replies = {name: replies_of(command, port) for name, command in commands.items()}
    finally:
        places.kill()
        places.wait()
    differ = [name for name, reply in replies.items() if reply != replies["herd"]]
    for name in differ:
        print(f"{name} replies\n  {replies[name]}\nand the herd\n  {replies['herd']}")
    if not differ:
        print("these give the same replies: " + ", ".join(replies))
    over_http = {
        "herd": responses_of(commands["herd"], 1),
        "Node.js http": responses_of(["node", f"{HERE}/herd_http.mjs", "{name}", "{file}"], 0),
    }
    for name, responses in over_http.items():
        for request, own, other in zip(OVER_HTTP, over_http["herd"], responses):
            if own != other:
                print(f"{request}: {name} responds\n  {other}\nand the herd\n  {own}")
                differ.append(name)
    if over_http["herd"] == over_http["Node.js http"]:
        print("these give the same responses: " + ", ".join(over_http))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
