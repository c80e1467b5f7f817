"""Clipped per-patient gradients of a perceptron, how many a second on one thread: InSitu, numpy, JAX, in turns.

    cargo build --package learning --example perceptron
    INSITU_GRADIENTS=target/debug/examples/perceptron taskset -c 0 venv/bin/python bench/gradients.py

numpy, loop     one patient after the other: the gradient, its norm, the cut, the sum
numpy, blocks   norms from the layers' factors and sums by matrix products, blocks of 128 patients, float64: what InSitu does, without its
                rounding of every patient's part to whole numbers (Goodfellow 2015; "ghost clipping" of Opacus)
jax, vmap       every patient's gradient formed, as Opacus' default has it, compiled by XLA, blocks of 128, float32
"""

import json
import os
import subprocess
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
import numpy as np

CASES = [(20_000, 40, [16]), (20_000, 40, [128]), (5_000, 50, [100, 48]), (1_000, 100, [300, 230])]
BLOCK = 128


def data(rows, sizes):
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, (rows, sizes[0]))
    y = (rng.uniform(size=rows) < 0.3).astype(float)
    layers = [(rng.uniform(-0.1, 0.1, (b, a)), rng.uniform(-0.1, 0.1, b)) for a, b in zip(sizes, sizes[1:])]
    return x, y, layers


def factors(x, y, layers):
    into, a = [], x
    for i, (w, b) in enumerate(layers):
        into.append(a)
        z = a @ w.T + b
        a = z if i == len(layers) - 1 else np.tanh(z)
    delta = (y - 1 / (1 + np.exp(-a[..., 0])))[..., None]
    out = []
    for i in range(len(layers) - 1, -1, -1):
        out.append((into[i], delta))
        if i:
            delta = (delta @ layers[i][0]) * (1 - into[i] ** 2)
    return out[::-1]


def blocks(x, y, layers):
    sums = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    for k in range(0, len(x), BLOCK):
        parts = factors(x[k:k + BLOCK], y[k:k + BLOCK], layers)
        norm2 = sum((d * d).sum(1) * (1 + (a * a).sum(1)) for a, d in parts)
        keep = np.minimum(1, 1 / np.sqrt(norm2))[:, None]
        for (w, b), (a, d) in zip(sums, parts):
            cut = d * keep
            w += cut.T @ a
            b += cut.sum(0)
    return sums


def loop(x, y, layers):
    sums = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    for k in range(len(x)):
        own = [(np.outer(d, a), d) for a, d in factors(x[k], y[k], layers)]
        keep = min(1.0, 1 / np.sqrt(sum((g * g).sum() + (d * d).sum() for g, d in own)))
        for (w, b), (g, d) in zip(sums, own):
            w += keep * g
            b += keep * d
    return sums


def jax_sums():
    import jax
    import jax.numpy as jnp

    def loss(layers, x, y):
        a = x
        for i, (w, b) in enumerate(layers):
            z = w @ a + b
            a = z if i == len(layers) - 1 else jnp.tanh(z)
        return y * a[0] - jnp.logaddexp(0.0, a[0])

    def one(layers, x, y):
        g = jax.grad(loss)(layers, x, y)
        norm = jnp.sqrt(sum((v ** 2).sum() for pair in g for v in pair))
        return jax.tree.map(lambda v: v * jnp.minimum(1.0, 1 / norm), g)

    @jax.jit
    def block(layers, x, y):
        return jax.tree.map(lambda v: v.sum(0), jax.vmap(one, (None, 0, 0))(layers, x, y))

    def run(x, y, layers):
        total = None
        for k in range(0, len(x) - len(x) % BLOCK, BLOCK):
            part = block(layers, x[k:k + BLOCK], y[k:k + BLOCK])
            total = part if total is None else jax.tree.map(jnp.add, total, part)
        return jax.block_until_ready(total)

    return jax.__version__, run


def median(f, passes=5):
    times = []
    for _ in range(passes):
        begun = time.perf_counter()
        f()
        times.append(time.perf_counter() - begun)
    return sorted(times)[passes // 2]


def main():
    try:
        version, xla = jax_sums()
    except ImportError:
        version, xla = None, None
    print(json.dumps({"python": sys.version.split()[0], "numpy": np.__version__, "jax": version}))
    for rows, features, hidden in CASES:
        sizes = [features, *hidden, 1]
        x, y, layers = data(rows, sizes)
        row = {"sizes": sizes, "parameters": sum((a + 1) * b for a, b in zip(sizes, sizes[1:])), "patients": rows}
        one, other = blocks(x[:300], y[:300], layers), loop(x[:300], y[:300], layers)
        assert all(np.allclose(p, q) for a, b in zip(one, other) for p, q in zip(a, b))
        row["numpy, blocks"] = round(rows / median(lambda: blocks(x, y, layers)))
        few = min(rows, 2_000)
        row["numpy, loop"] = round(few / median(lambda: loop(x[:few], y[:few], layers), 3))
        if xla:
            x32, y32 = x.astype(np.float32), y.astype(np.float32)
            l32 = [(w.astype(np.float32), b.astype(np.float32)) for w, b in layers]
            xla(x32, y32, l32)
            row["jax, vmap"] = round((rows - rows % BLOCK) / median(lambda: xla(x32, y32, l32)))
        if program := os.environ.get("INSITU_GRADIENTS"):
            told = subprocess.run([program, str(rows), str(features), *map(str, hidden)], capture_output=True, text=True, check=True)
            row["InSitu"] = json.loads(told.stdout)["gradients_a_second"]
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
