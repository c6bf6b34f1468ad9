"""A Ray cluster on this machine for tests: `python ray_cluster.py CPUS` prints its address and the one for clients.

It ends when standard input does, so never outlives the tests.
"""

import socket
import subprocess
import sys
import time

import ray


def main(cpus: int) -> None:
    address = ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False).address_info
    port = free_port()
    module = (
        "ray.util.client.server"  # in a process of its own: it leaves the cluster when its last client does
    )
    place = (
        "--address",
        address["gcs_address"],
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--mode",
        "legacy",
    )
    server = subprocess.Popen([sys.executable, "-m", module, *place])
    while not listens(port):
        time.sleep(0.1)
    print(address["gcs_address"], f"ray://127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.kill()
    server.wait()
    ray.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    return number


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
