"""Writes accountants.json: what dp-accounting 0.6.0 says, and a refined oracle, for every setting of the gate.

Run: python generate.py, then python contour.py, which adds `contour`, the truth without a grid.
(About twenty minutes on one core; rows that are in the file already are kept. pip install dp-accounting==0.6.0 mpmath.)

For a row, `parts` is a list of mechanisms that are composed, each so many rounds. Sensitivity is 1, add/remove, Poisson.
  rdp         dp-accounting, RdpAccountant, its default orders
  pld         dp-accounting, connect the dots, pessimistic, grid 1e-4
  refined     the same on the grid 1e-5
  optimistic  dp-accounting, privacy buckets, rounded down, grid 1e-5: a proved lower bound, loose for many rounds
  floor       the refined figure at δ + the numerical error of the oracle itself, which is not charged by dp-accounting in a
              way that can be seen: twice the sum of its negative masses (the rounding of its FFT, which it does not clamp),
              and 4e-15 for each part (its cut tails, 1e-15 each, are charged upward). For one direction each, the larger.
  exact       Balle and Wang 2018 in 60 digits, for a composition of Gaussians without sampling; else null
"""
import json
import math
import os
import sys
import time

import dp_accounting as dpa
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import RdpAccountant
import mpmath

mpmath.mp.dps = 60


def gauss(sigma, rounds=1, q=1.0):
    return {"kind": "gaussian", "sigma": sigma, "q": q, "rounds": rounds}


def laplace(scale, rounds=1):
    return {"kind": "laplace", "sigma": scale, "q": 1.0, "rounds": rounds}


ROWS = [
    # privacy.md section 5, first table
    ("table", [gauss(1.0, 1000, 0.01)], 1e-5),
    ("table", [gauss(1.1, 14063, 256 / 60000)], 1e-5),
    ("table", [gauss(0.8, 500, 0.02)], 1e-5),
    ("table", [gauss(2.0, 200, 0.1)], 1e-5),
    ("table", [gauss(4.0, 2000, 0.05)], 1e-6),
    ("table", [gauss(0.6, 5000, 0.001)], 1e-7),
    ("table", [gauss(1.5, 60, 0.25)], 1e-4),
    ("table", [gauss(5.0, 100, 0.5)], 1e-6),
    # second table
    ("table", [gauss(1.0, 1)], 1e-6),
    ("table", [gauss(2.0, 10)], 1e-6),
    ("table", [gauss(10.0, 100)], 1e-5),
    ("table", [gauss(5.0, 1)], 1e-9),
    # plain Gaussian, further
    ("gaussian", [gauss(0.5, 1)], 1e-5),
    ("gaussian", [gauss(4.2247, 1)], 1e-6),
    ("gaussian", [gauss(20.0, 1)], 1e-3),
    ("gaussian", [gauss(3.0, 30)], 1e-10),
    ("gaussian", [gauss(50.0, 5000)], 1e-7),
    ("gaussian", [gauss(8.0, 64)], 1e-12),
    # sampled, further
    ("sampled", [gauss(1.0, 1, 0.01)], 1e-6),
    ("sampled", [gauss(0.7, 1, 0.5)], 1e-5),
    ("sampled", [gauss(1.0, 10, 0.3)], 1e-3),
    ("sampled", [gauss(0.9, 2500, 0.005)], 1e-5),
    ("sampled", [gauss(1.3, 10000, 0.004)], 1e-6),
    ("sampled", [gauss(3.0, 400, 0.9)], 1e-6),
    ("sampled", [gauss(2.0, 1000, 0.02)], 1e-8),
    ("sampled", [gauss(10.0, 300, 0.2)], 1e-5),
    ("sampled", [gauss(1.0, 50, 0.05)], 1e-9),
    ("sampled", [gauss(0.5, 200, 0.002)], 1e-6),
    ("sampled", [gauss(6.0, 5000, 0.1)], 1e-7),
    ("sampled", [gauss(1.0, 100000, 0.0005)], 1e-6),
    ("sampled", [gauss(2.5, 7, 0.7)], 1e-10),
    # Laplace
    ("laplace", [laplace(1.0, 1)], 1e-6),
    ("laplace", [laplace(2.0, 10)], 1e-5),
    ("laplace", [laplace(10.0, 200)], 1e-6),
    ("laplace", [laplace(0.5, 3)], 1e-4),
    # compositions
    ("mixed", [gauss(2.0, 5), laplace(5.0, 10)], 1e-6),
    ("mixed", [gauss(1.2, 500, 0.01), gauss(8.0, 4)], 1e-5),
    ("mixed", [gauss(0.9, 300, 0.02), gauss(3.0, 100, 0.1)], 1e-6),
    ("mixed", [gauss(1.5, 1000, 0.005), laplace(20.0, 50), gauss(30.0, 20)], 1e-7),
    ("mixed", [laplace(3.0, 1), gauss(1.0, 1, 0.1)], 1e-5),
]


def distribution(parts, grid, pessimistic):
    total = None
    for p in parts:
        kw = dict(value_discretization_interval=grid, pessimistic_estimate=pessimistic, use_connect_dots=pessimistic)
        if p["kind"] == "laplace":
            one = pld.from_laplace_mechanism(p["sigma"], **kw)
        else:
            one = pld.from_gaussian_mechanism(p["sigma"], sampling_prob=p["q"], **kw)
        one = one.self_compose(p["rounds"])
        total = one if total is None else total.compose(one)
    return total


def floor_of(total, parts, delta):
    def one(pmf):
        pmf = pmf.to_dense_pmf()
        probs = pmf._probs
        noise = 2 * float(-probs[probs < 0].sum()) + 4e-15 * len(parts)
        return float(pmf.get_epsilon_for_delta(delta + noise)), noise

    found = [one(total._pmf_remove)] + ([] if total._symmetric else [one(total._pmf_add)])
    return max(found)


def renyi(parts, delta):
    accountant = RdpAccountant()
    for p in parts:
        if p["kind"] == "laplace":
            event = dpa.LaplaceDpEvent(p["sigma"])
        else:
            event = dpa.GaussianDpEvent(p["sigma"])
            if p["q"] < 1:
                event = dpa.PoissonSampledDpEvent(p["q"], event)
        accountant.compose(event, p["rounds"])
    return float(accountant.get_epsilon(delta))


def exact(parts, delta):
    if any(p["kind"] != "gaussian" or p["q"] != 1.0 for p in parts):
        return None
    mu = mpmath.sqrt(sum(mpmath.mpf(p["rounds"]) / mpmath.mpf(p["sigma"]) ** 2 for p in parts))

    def d(e):
        return mpmath.ncdf(mu / 2 - e / mu) - mpmath.exp(e) * mpmath.ncdf(-mu / 2 - e / mu)

    low, high = mpmath.mpf(0), mpmath.mpf(1)
    while d(high) > delta:
        high *= 2
    for _ in range(150):
        mid = (low + high) / 2
        low, high = (low, mid) if d(mid) <= delta else (mid, high)
    return float(high)


def analytic_vectors():
    """delta of the analytic Gaussian in 60 digits, over a wide range."""
    out = []
    for mu in [1e-4, 1e-2, 0.1, 0.3, 0.49, 0.51, 1.0, 3.0, 10.0, 40.0]:
        m = mpmath.mpf(mu)
        for z in [-3, -1, -0.2, 0, 0.5, 1.5, 3, 5, 6.5]:
            e = float(m * (mpmath.mpf(z) + m / 2))
            if e < 0:
                continue
            e_ = mpmath.mpf(e)
            d = mpmath.ncdf(m / 2 - e_ / m) - mpmath.exp(e_) * mpmath.ncdf(-m / 2 - e_ / m)
            if d > mpmath.mpf("1e-13"):
                out.append({"mu": mu, "epsilon": e, "delta": float(d)})
    return out


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "accountants.json")
    try:
        with open(path) as f:
            known = {json.dumps([r["parts"], r["delta"]]): r for r in json.load(f)["rows"]}
    except FileNotFoundError:
        known = {}
    rows = []
    for kind, parts, delta in ROWS:
        start = time.time()
        row = known.get(json.dumps([parts, delta]), {"group": kind, "parts": parts, "delta": delta})
        if "floor" not in row:
            fine = distribution(parts, 1e-5, True)
            row["refined"] = float(fine.get_epsilon_for_delta(delta))
            row["floor"], row["noise"] = floor_of(fine, parts, delta)
        if "exact" not in row:
            row["rdp"] = renyi(parts, delta)
            row["pld"] = float(distribution(parts, 1e-4, True).get_epsilon_for_delta(delta))
            row["optimistic"] = float(distribution(parts, 1e-5, False).get_epsilon_for_delta(delta))
            row["exact"] = exact(parts, delta)
        rows.append(row)
        print(f"{time.time() - start:6.1f}s", json.dumps(row), file=sys.stderr, flush=True)
    with open(path, "w") as f:
        json.dump({"source": "dp-accounting 0.6.0 and mpmath", "rows": rows, "gaussian": analytic_vectors()}, f, indent=1)
        f.write("\n")


main()
