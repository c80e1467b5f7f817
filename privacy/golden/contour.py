"""The exact (epsilon, delta) of many rounds of sampled Gaussians and Laplace, by an integral along a vertical line.

delta(eps) = 1/(2 pi i) * integral over z = a + iu of M(z) exp(-z eps) / (z (z + 1)) dz, for any a > 0, where M(z) is the product
of E[exp(z loss)] over the rounds: the kernel of 1/(z (z + 1)) is (1 - exp(eps - loss)) above eps and 0 below. No grid of losses
is used, so it shares no error with connect-the-dots, and it is not pessimistic: it is the truth to about ten digits.
"""
import numpy as np


def log_m(part, add, z, a):
    """log E[exp(z loss)] of one round, for an array z on the line with the real part a."""
    if part["kind"] == "laplace":
        e = 1 / part["sigma"]
        # atoms at both ends and the density between them, all over exp(z e)
        inner = 0.5 + 0.5 * np.exp(-(2 * z + 1) * e) + 0.25 * (1 - np.exp(-(2 * z + 1) * e)) / (z + 0.5)
        return z * e + np.log(inner)
    mu, q = 1 / part["sigma"], part["q"]
    if q == 1.0:
        return mu * mu / 2 * (z * z + z)
    top = 14 + mu * (1 + max(a, 0)) if not add else 14
    low = -14 if not add else -14 - mu * (1 + max(a, 0))
    umax = float(np.abs(z.imag).max())
    h = min(0.02, 2 * np.pi / (umax * mu + 40))
    y = np.arange(low, top, h)
    if add:
        log_p = -y * y / 2
        loss = -np.log1p(q * np.expm1(mu * y - mu * mu / 2))
    else:
        loss = np.log1p(q * np.expm1(mu * y - mu * mu / 2))
        log_p = -y * y / 2 + loss
    log_p = log_p + np.log(h / np.sqrt(2 * np.pi))
    base = float((log_p + a * loss).max())
    keep = log_p + a * loss > base - 80
    w, loss = np.exp(log_p[keep] + a * loss[keep] - base), loss[keep]
    out = np.empty(len(z), dtype=complex)
    block = max(1, int(4e6 // len(loss)))
    for i in range(0, len(z), block):
        out[i:i + block] = np.log(np.exp(1j * np.outer(z.imag[i:i + block], loss)) @ w) + base
    return out


def one_direction(parts, delta, guess, add):
    def total(z, a):
        # the logarithms lose their branch, which the exponential of a whole multiple does not see
        return sum(p["rounds"] * log_m(p, add, z, a) for p in parts)

    def height(a):
        return total(np.array([complex(a, 0)]), a)[0].real - a * guess - np.log(a * (a + 1))

    low, high = np.log(1e-3), np.log(300.0)
    for _ in range(60):
        x, y = low + (high - low) * 0.382, low + (high - low) * 0.618
        low, high = (low, y) if height(np.exp(x)) < height(np.exp(y)) else (x, high)
    a = float(np.exp((low + high) / 2))
    period = (70 - np.log(delta)) / min(a, 1.0) + 2 * guess
    h = 2 * np.pi / period
    zs, values, size, start = [], [], 512, 0
    peak = None
    while True:
        u = (np.arange(start, start + size)) * h
        z = a + 1j * u
        v = total(z, a) - np.log(z) - np.log(z + 1)
        peak = v[0].real if peak is None else peak
        zs.append(z)
        values.append(v)
        start += size
        if v.real.max() < peak - 42:
            break
        if start > 20_000:
            return None
    z, v = np.concatenate(zs), np.concatenate(values)
    weight = np.full(len(z), h / np.pi)
    weight[0] /= 2

    def d(eps):
        return float((np.exp(v - z * eps).real * weight).sum())

    low, high = 0.0, 2 * guess + 1
    if d(0.0) <= delta:
        return 0.0
    for _ in range(100):
        mid = (low + high) / 2
        low, high = (low, mid) if d(mid) <= delta else (mid, high)
    return high


def single_round(part, delta):
    """One round of the sampled Gaussian in closed form: the outcome where the loss is epsilon splits both distributions."""
    import mpmath as m
    m.mp.dps = 50
    mu, q = 1 / m.mpf(part["sigma"]), m.mpf(part["q"])

    def outcome(e):
        x = (m.exp(e) - (1 - q)) / q
        return m.log(x) / mu + mu / 2 if x > 0 else -m.inf

    def above(y):
        return m.ncdf(-y) if y != -m.inf else m.mpf(1)

    def d(e):
        y = outcome(e)
        removed = (1 - q) * above(y) + q * above(y - mu) - m.exp(e) * above(y)
        y = outcome(-e)
        below, moved = 1 - above(y), 1 - above(y - mu)
        return max(removed, below - m.exp(e) * ((1 - q) * below + q * moved))

    low, high = m.mpf(0), m.mpf(100)
    for _ in range(150):
        mid = (low + high) / 2
        low, high = (low, mid) if d(mid) <= delta else (mid, high)
    return float(high)


def epsilon(parts, delta, guess):
    """None where the integral does not fall off: few rounds, or atoms."""
    if len(parts) == 1 and parts[0]["rounds"] == 1 and parts[0]["kind"] == "gaussian":
        return single_round(parts[0], delta)
    if all(p["kind"] == "laplace" for p in parts):
        return None
    found = [one_direction(parts, delta, guess, False)]
    if any(p["q"] < 1 for p in parts):
        found.append(one_direction(parts, delta, guess, True))
    return None if None in found else max(found)


if __name__ == "__main__":
    import json
    import os
    import sys
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "accountants.json")
    with open(path) as f:
        data = json.load(f)
    for r in data["rows"]:
        r["contour"] = epsilon(r["parts"], r["delta"], r["pld"])
        c = r["contour"]
        names = " + ".join(f"{p['kind']} {p['sigma']} {p['q']:.5f} x {p['rounds']}" for p in r["parts"])
        show = None if c is None else f"pld {r['pld'] - c:+.2e} refined {r['refined'] - c:+.2e}"
        show2 = "" if c is None or r["exact"] is None else f"exact {r['exact'] - c:+.2e}"
        print(names, r["delta"], c, show, show2, file=sys.stderr, flush=True)
    with open(path, "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
