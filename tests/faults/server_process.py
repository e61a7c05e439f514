"""Servers for the kills, one after the other: python server_process.py, and for each one a line [URL, PORT, WORK, LOG].

What a server needs is imported once; each one is a fork of this process that opens the store itself, as a server that
is started anew does, and can be killed like any other. A line with its number is the answer, a second one its end.
"""

import json
import os
import sys

from api.serve import serve


def main() -> None:
    for line in sys.stdin:
        url, port, work, log = json.loads(line)
        if (server := os.fork()) == 0:
            be_server(url, port, work, log)
        sys.stdout.write(f"{server}\n")
        sys.stdout.flush()
        _, status = os.waitpid(server, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def be_server(url: str, port: int, work: str, log: str) -> None:
    """Serve until killed; what is said goes to the log."""
    with open(log, "wb") as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ["GEOMAP_API_WORK_DIR"] = work
    try:
        serve(url, port=port)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
