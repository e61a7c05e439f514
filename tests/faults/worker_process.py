"""A worker in a process of its own, to be stopped and killed: python worker_process.py URL FOLDER OPTIONS-AS-JSON."""

import json
import logging
import sys
from pathlib import Path

from api.worker import Worker, run_until_told
from geomap.store import open_store


def main(url: str, folder: str, options: str) -> None:
    logging.basicConfig(level=logging.INFO)
    store = open_store(url)
    run_until_told(Worker(store, Path(folder), **json.loads(options)))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
