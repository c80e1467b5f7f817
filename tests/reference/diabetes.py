"""Readmission within 30 days in Diabetes-130, pooled: the figures beside which tests/tests/e2e/diabetes.rs stands.

    python3 -m venv venv && venv/bin/pip install scikit-learn xgboost-cpu numpy
    venv/bin/python tests/reference/diabetes.py DATA/diabetic_data.csv.gz > tests/reference/diabetes.json

Patients, columns, sites and split are those of tests/src/diabetes.rs, whose sums the test compares with the ones written here. Trees are given the
federation's own bins (16 of one width, and each level of a category as a column of its own), so that both may ask for the same.
"""

import csv
import gzip
import hashlib
import json
import sys
import warnings

import numpy as np
import sklearn
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

GONE = {"11", "13", "14", "19", "20", "21"}  # died, or to a hospice
SITES, BINS = 40, 16
NUMBERS = [
    ("age", 0, 100), ("time_in_hospital", 1, 14), ("num_lab_procedures", 0, 100), ("num_procedures", 0, 6),
    ("num_medications", 0, 50), ("number_outpatient", 0, 5), ("number_emergency", 0, 5), ("number_inpatient", 0, 5),
    ("number_diagnoses", 1, 9),
]
LEVELS = [
    ("female", 2), ("race", 5), ("admission", 4), ("discharge", 5), ("source", 3), ("diagnosis", 9), ("a1c", 4),
    ("insulin", 4), ("metformin", 2), ("change", 2), ("diabetes_med", 2),
]


def group(code):
    """Strack's groups of the first diagnosis: circulatory, respiratory, digestive, diabetes, injury, musculoskeletal, genitourinary,
    neoplasms, others."""
    if code.startswith("250"):
        return 3
    number = int(code.split(".")[0]) if code.replace(".", "").isdigit() else -1
    within = [(0, 390, 459, 785), (1, 460, 519, 786), (2, 520, 579, 787), (4, 800, 999, 0), (5, 710, 739, 0),
              (6, 580, 629, 788), (7, 140, 239, 0)]
    return next((g for g, low, high, also in within if low <= number <= high or (also and number == also)), 8)


def place(values, value, other):
    return values.index(value) if value in values else other


def columns(r):
    x = [int(r["age"][1:].split("-")[0]) + 5]
    x += [min(max(int(r[n]), low), high) for n, low, high in NUMBERS[1:]]
    return x + [
        int(r["gender"] == "Female"),
        place(["Caucasian", "AfricanAmerican", "Hispanic", "Asian"], r["race"], 4),
        place(["1", "2", "3"], r["admission_type_id"], 3),
        place(["1", "6", "3", "22"], r["discharge_disposition_id"], 4),
        place(["7", "1"], r["admission_source_id"], 2),
        group(r["diag_1"]),
        place(["None", "Norm", ">7", ">8"], r["A1Cresult"], 0),
        place(["No", "Steady", "Up", "Down"], r["insulin"], 0),
        int(r["metformin"] != "No"),
        int(r["change"] == "Ch"),
        int(r["diabetesMed"] == "Yes"),
    ]


def patients(path):
    first = {}
    with gzip.open(path, "rt", newline="") as file:
        for r in csv.DictReader(file):
            known = first.get(r["patient_nbr"])
            if known is None or int(r["encounter_id"]) < int(known["encounter_id"]):
                first[r["patient_nbr"]] = r
    for number, r in first.items():
        if r["discharge_disposition_id"] in GONE:
            continue
        digest = hashlib.sha256(number.encode()).digest()
        site = int.from_bytes(digest[:8], "big") % SITES
        test = int.from_bytes(digest[8:16], "big") % 5 == 0
        yield site, test, int(r["readmitted"] == "<30"), columns(r)


def scaled(x):
    row = [(2 * v - low - high) / (high - low) for v, (_, low, high) in zip(x, NUMBERS)]
    for v, (_, levels) in zip(x[len(NUMBERS):], LEVELS):
        row += [float(v == level) for level in range(1, levels)]
    return row


def binned(x):
    # A value at an upper edge is in the bin below it.
    row = [min(max(-(-(v - low) * BINS // (high - low)) - 1, 0), BINS - 1) for v, (_, low, high) in zip(x, NUMBERS)]
    for v, (_, levels) in zip(x[len(NUMBERS):], LEVELS):
        row += [int(v == level) for level in range(levels)]
    return row


def judged(rows):
    """AUC on the test patients, of models of the training patients."""
    test = np.array([r[1] for r in rows])
    y = np.array([r[2] for r in rows])
    x = np.array([scaled(r[3]) for r in rows])
    b = np.array([binned(r[3]) for r in rows])
    auc = lambda score: round(float(roc_auc_score(y[test], score)), 5)
    logistic = LogisticRegression(C=np.inf, max_iter=5000, tol=1e-10).fit(x[~test], y[~test])
    networks = []
    for seed in range(42, 47):
        network = MLPClassifier((16,), activation="tanh", alpha=0.1, max_iter=10, random_state=seed)
        networks.append(auc(network.fit(x[~test], y[~test]).predict_proba(x[test])[:, 1]))
    boosted = {}
    for trees, depth in [(10, 2), (20, 3), (50, 3)]:
        model = xgboost.XGBClassifier(
            n_estimators=trees, max_depth=depth, learning_rate=0.3, reg_lambda=1, min_child_weight=1, max_bin=64,
            tree_method="hist", n_jobs=1, base_score=float(y[~test].mean()))
        boosted[f"{trees} of depth {depth}"] = auc(model.fit(b[~test], y[~test]).predict_proba(b[test])[:, 1])
    # Not told of bins, and larger: what the columns have to give.
    free = np.array([r[3] for r in rows], dtype=float)
    large = xgboost.XGBClassifier(
        n_estimators=300, max_depth=4, learning_rate=0.05, subsample=0.8, colsample_bytree=0.5, n_jobs=1, random_state=42)
    return {
        "patients": len(rows),
        "tested": int(test.sum()),
        "readmitted": int(y.sum()),
        "readmitted_of_tested": int(y[test].sum()),
        "sum_of_columns": [int(v) for v in np.array([r[3] for r in rows]).sum(axis=0)],
        "auc": {
            "logistic": auc(logistic.decision_function(x[test])),
            "perceptron": {"mean": round(float(np.mean(networks)), 5), "sd": round(float(np.std(networks, ddof=1)), 5)},
            "trees": boosted,
            "trees, 300 of depth 4, any cut": auc(large.fit(free[~test], y[~test]).predict_proba(free[test])[:, 1]),
        },
    }


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # ten passes are not until convergence
    rows = list(patients(sys.argv[1]))
    print(json.dumps({
        "made_by": "tests/reference/diabetes.py",
        "versions": {"python": sys.version.split()[0], "scikit-learn": sklearn.__version__, "xgboost": xgboost.__version__,
                     "numpy": np.__version__},
        "forty sites": judged(rows),
        "first eight sites": judged([r for r in rows if r[0] < 8]),
    }, indent=1))
