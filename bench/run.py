"""Ours and the peers on the same files, in turns, in one run; see README.md.

    INSITU_PEERS=../shared/bench python bench/run.py [fhir] [hl7] [omop]
"""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import omop

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("BENCH_DATA") or Path(tempfile.gettempdir()) / "insitu-bench")
PEERS = os.environ.get("INSITU_PEERS")
PASSES = int(os.environ.get("PASSES", 5))
OURS = os.environ.get("INSITU_INGEST")


def ours(form, mode):
    return (f"insitu, {mode}", [OURS, form, mode, str(DATA / "out"), "{file}"], False)


def peer(name):
    return (name, [sys.executable, str(HERE / "peers.py"), name, "{file}", str(DATA / "peer.parquet")], True)


def shared(script, *arguments, **env):
    """Runs a generator of the peers' folder."""
    subprocess.run([sys.executable, script, *arguments], cwd=PEERS, check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"BENCH_DATA": str(DATA), "PYTHONDONTWRITEBYTECODE": "1"} | env)


def observations():
    size = int(os.environ.get("FHIR_MB", 500))
    path = DATA / f"observation-{size}mb.ndjson"
    if not path.exists():
        shared("gen_fhir.py", str(size))
    return path


def messages():
    n = os.environ.get("HL7_MESSAGES", "20000")
    path = DATA / f"oru-{n}.hl7"
    if not path.exists():
        shared("-c", "import hl7_bench; hl7_bench.ensure()", HL7_MESSAGES=n)
    return path


def rust_hl7():
    """The program around rust-hl7; it runs five passes itself and says the processor time of one."""
    if not PEERS:
        return []
    target = DATA / "target"
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", f"{PEERS}/hl7_rs/Cargo.toml"],
                   env=os.environ | {"CARGO_TARGET_DIR": str(target)}, check=True)
    return [("rust-hl7", [str(target / "release" / "hl7bench"), "{file}"], True)]


def once(command, file, own_clock):
    """One process: processor seconds of all its threads, its peak memory in MiB, and what it says."""
    command = [part.replace("{file}", str(file)) for part in command]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    said = json.loads(child.stdout.read().strip().splitlines()[-1])
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit(f"{command[0]} ended with {status}")
    seconds = said.pop("cpu") if own_clock else used.ru_utime + used.ru_stime
    return seconds, used.ru_maxrss / 1024, said


def task(name, file, contenders, unit, scale):
    """`scale`: what one pass holds, by the bytes and the items that a contender says, in the unit."""
    size = file.stat().st_size
    runs = {label: [] for label, _, _ in contenders}
    for _ in range(PASSES):
        for label, command, own_clock in contenders:
            runs[label].append(once(command, file, own_clock))
    amount = scale(size, runs)
    print(f"\n## {name}: {file.name}, {size / 1e6:.0f} MB, {PASSES} passes in turns\n")
    print(f"| | {unit} a CPU-second (median) | least to most | CPU s | peak MiB | to the floor | to the best peer | agrees on |")
    print("|---|---|---|---|---|---|---|---|")
    median = {label: statistics.median(r[0] for r in all_) for label, all_ in runs.items()}
    floor = next((median[label] for label in median if label.endswith("scan")), None)
    best = min((median[label] for label, _, _ in contenders if not label.startswith("insitu")), default=None)
    for label, all_ in runs.items():
        seconds = [r[0] for r in all_]
        rate = lambda s: f"{amount / s:,.0f}"
        ratio = lambda other: f"{other / median[label]:.2f}" if other else "–"
        says = ", ".join(f"{k} {v}" for k, v in all_[-1][2].items() if k in ("items", "rows", "sum", "least", "quarantined"))
        print(f"| {label} | {rate(median[label])} | {rate(max(seconds))} to {rate(min(seconds))} | {median[label]:.2f} "
              f"| {statistics.median(r[1] for r in all_):.0f} | {ratio(floor)} | {ratio(best)} | {says} |", flush=True)


def versions():
    def of(name):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return f"{name} –"

    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {of('duckdb')}, {of('pyarrow')}, {of('polars')}, "
          f"Python {sys.version.split()[0]}; InSitu {commit}")


def main():
    wanted = sys.argv[1:] or ["fhir", "hl7", "omop"]
    if not OURS:
        raise SystemExit("build the example and name it in INSITU_INGEST; see bench/README.md")
    DATA.mkdir(parents=True, exist_ok=True)
    versions()
    if "fhir" in wanted:
        ways = [ours("fhir", m) for m in ("scan", "flat", "silver", "batches")]
        task("FHIR Observation, NDJSON to Parquet", observations(),
             ways + [peer(p) for p in ("duckdb_fhir", "pyarrow_fhir", "polars_fhir")], "MB", lambda size, _: size / 1e6)
    if "hl7" in wanted:
        ways = [ours("hl7v2", m) for m in ("scan", "batches", "silver")]
        file = messages()
        count = int(re.search(r"\d+", file.name).group())
        task("HL7 v2 ORU, 12 results each", file, ways + [peer("split_hl7")] + rust_hl7(), "messages", lambda *_: count)
    if "omop" in wanted:
        file = omop.write(DATA, int(os.environ.get("OMOP_ROWS", 1_000_000)))
        ways = [ours("omop", m) for m in ("scan", "flat", "silver", "batches")]
        count = int(re.search(r"\d+", file.parent.name).group())
        task("OMOP MEASUREMENT, CSV to Parquet", file, ways + [peer("duckdb_omop"), peer("duckdb_omop_whole")], "rows", lambda *_: count)


if __name__ == "__main__":
    main()
