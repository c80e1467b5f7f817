"""Rounds of training of forty agents, and the peers' in the same run: seconds, bytes, processor seconds and the server's memory, as a table.

    INSITU_SIMULATOR=target/debug/simulator ROUNDS_PEERS=.../bench venv/bin/python bench/rounds.py

ROUNDS_PEERS has flower_bench.py and nvflare_bench.py; their environment is this interpreter's. What does not run is left out, and it is said.
A peer's client adds a thousandth to each parameter; an agent of InSitu takes the clipped gradients of some twenty patients, rounds them to whole numbers,
adds noise where it is on, seals an entry of its ledger to disk, and sends over mutual TLS.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

PEERS = [
    ("flower_bench.py", "legacy", 40, 10_000, 20), ("flower_bench.py", "legacy", 40, 500_000, 10),
    ("flower_bench.py", "legacy", 40, 1_000_000, 10), ("nvflare_bench.py", "sim", 40, 10_000, 10),
    ("nvflare_bench.py", "poc", 8, 1_000_000, 10),
]


def row(who, what, seconds, bytes_a_round, cpu, memory):
    wire = "" if bytes_a_round is None else f"{bytes_a_round / 1e6:.1f}"
    print(f"| {who} | {what} | {seconds:.3f} | {1 / seconds:.2f} | {wire} | {cpu:.2f} | {memory:.0f} |", flush=True)


def own():
    command = [os.environ["INSITU_SIMULATOR"], "bench", "--what", "training", "--json", "--agents", os.environ.get("AGENTS", "40")]
    agents = int(command[-1])
    for r in json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout):
        at = int(r["what"].split()[1])
        cpu = r["site_processor_seconds"] * at + r["coordinator_processor_seconds"]
        row("InSitu", r["what"].removeprefix("training, "), r["seconds"], r["loopback_bytes"], cpu, r["coordinator_peak_mib"])
    return agents


def peer(folder, script, mode, clients, dim, rounds):
    command = [sys.executable, str(folder / script), mode, "--clients", str(clients), "--dim", str(dim), "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=900)
    line = next((l for l in done.stdout.splitlines() if l.startswith("{")), None)
    if line is None:
        print(f"| {script} {mode} | {clients} clients, d = {dim} | did not run: {done.stderr.strip().splitlines()[-1:]} | | | | |")
        return
    r = json.loads(line)
    m = r["metrics"]
    named = " ".join(f"{k} {v}" for k, v in r["versions"].items() if k in ("flwr", "nvflare"))
    server = max(m["peak_rss_by_role_mib"].get(role, 0) for role in ("server", "server-job"))
    row(f"{named}, {mode}", f"{clients} clients, d = {dim}, float32", m["round_s_median"], m["lo_bytes_per_round"], m["cpu_s_per_round"], server)


def main():
    print("| | | seconds a round | rounds a second | MB a round | processor seconds a round, all | server's peak, MiB |")
    print("|---|---|---|---|---|---|---|")
    own()
    folder = Path(os.environ["ROUNDS_PEERS"])
    for case in PEERS:
        try:
            peer(folder, *case)
        except (OSError, subprocess.TimeoutExpired) as e:
            print(f"| {case[0]} {case[1]} | | did not run: {e} | | | | |")


if __name__ == "__main__":
    main()
