"""The queries of a clinical event stream, by the example `events` of `streams`: answers checked, figures printed.

Usage: STREAMS_PEERS=…/bench/streaming STREAM_DATA=dir-with-events.csv INSITU_EVENTS=target/release/examples/events \
       python bench/streams.py [q1 q2 q3 q3hll q5] [--backend heap rocksdb] [--kill] [--shards N] [--every 2]

`STREAMS_PEERS` has gen.py (makes events.csv), check.py with the expected answers, and RESULTS-streaming-peers.json. With
--kill the process is killed with signal 9 three times on the way, and each time started again; what it then takes to have read
its state again is printed.
"""
import argparse, json, os, shutil, subprocess, sys, tempfile
from pathlib import Path

PEERS = Path(os.environ["STREAMS_PEERS"])
EVENTS = Path(os.environ["STREAM_DATA"]) / "events.csv"
BINARY = os.environ.get("INSITU_EVENTS", "target/release/examples/events")


def run(query, out, state, backend, options, die_after=0):
    command = [BINARY, query, str(EVENTS), str(out), "--state", str(state), "--backend", backend,
               "--every", str(options.every), "--shards", str(options.shards), "--die-after", str(die_after)]
    done = subprocess.run(command, capture_output=True, text=True)
    if die_after:
        assert done.returncode == -9, done.stderr
        return None
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(query, out):
    name = "q3" if query == "q3hll" else query
    answer = subprocess.run([sys.executable, "check.py", name, str(out), "--json"], cwd=PEERS, capture_output=True, text=True)
    answer = json.loads(answer.stdout)
    if query == "q3hll":
        return answer["uniq"].split(", ")[1]
    return next((v for v in answer.values() if isinstance(v, str) and v.startswith("EXACT")), "WRONG").split(":")[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("queries", nargs="*", default=["q1", "q2", "q3", "q3hll", "q5"])
    parser.add_argument("--backend", nargs="*", default=["heap", "rocksdb"])
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--every", type=float, default=2.0)
    options = parser.parse_args()
    print("| query | backend | answers | M rows/s | M rows/CPU-s | peak MiB | checkpoints | MB written | last ms | reopened ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for query in options.queries:
        for backend in options.backend:
            with tempfile.TemporaryDirectory(dir=os.environ.get("STREAM_WORK")) as folder:
                out, state = Path(folder) / "out", Path(folder) / "state"
                if options.kill:
                    # Each life reads on from the last checkpoint: one every half second leaves some behind.
                    options.every = 0.5
                    for rows in (5_000_000, 4_000_000, 6_000_000):
                        run(query, out, state, backend, options, rows)
                r = run(query, out, state, backend, options)
                verdict = check(query, out)
                print(f"| {query} | {backend} | {verdict} | {r['rows_a_second']/1e6:.2f} | {r['rows_a_cpu_second']/1e6:.2f} | "
                      f"{r['peak_mib']:.0f} | {r['checkpoints']} | {r['checkpoint_bytes']/1e6:.1f} | {r['last_checkpoint_ms']:.0f} | "
                      f"{r['opening_ms']:.0f} (from {r['from_checkpoint']}) |", flush=True)


main()
