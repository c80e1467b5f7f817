"""An OMOP CDM 5.4 MEASUREMENT table as CSV, with the few rows of CONCEPT that it needs, from a fixed seed."""
import csv
import random
import sys
from pathlib import Path

HEADER = ("measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,measurement_time,"
          "measurement_type_concept_id,operator_concept_id,value_as_number,value_as_concept_id,unit_concept_id,range_low,range_high,"
          "provider_id,visit_occurrence_id,visit_detail_id,measurement_source_value,measurement_source_concept_id,unit_source_value,"
          "unit_source_concept_id,value_source_value,measurement_event_id,meas_event_field_concept_id").split(",")
# Concept, LOINC code, name, unit's concept, unit, mean
TESTS = [
    (3036277, "8302-2", "Body height", 8582, "cm", 168), (3025315, "29463-7", "Body weight", 9529, "kg", 76),
    (3027018, "8867-4", "Heart rate", 8541, "/min", 78), (3004249, "8480-6", "Systolic blood pressure", 8876, "mm[Hg]", 124),
    (3012888, "8462-4", "Diastolic blood pressure", 8876, "mm[Hg]", 78), (3000963, "718-7", "Hemoglobin", 8713, "g/dL", 13.8),
    (3000905, "6690-2", "Leukocytes", 8848, "10*3/uL", 7.2), (3024929, "777-3", "Platelets", 8848, "10*3/uL", 255),
    (3004501, "2345-7", "Glucose", 8840, "mg/dL", 98), (3016723, "2160-0", "Creatinine", 8840, "mg/dL", 0.95),
    (3019550, "2951-2", "Sodium", 8753, "mmol/L", 140), (3023103, "2823-3", "Potassium", 8753, "mmol/L", 4.2),
    (3006923, "1742-6", "ALT", 8645, "U/L", 25), (3013721, "1920-8", "AST", 8645, "U/L", 24),
    (3004410, "4548-4", "Hemoglobin A1c", 8554, "%", 5.9), (3022192, "2571-8", "Triglycerides", 8840, "mg/dL", 150),
]


def write(folder, rows):
    """Writes both tables, unless they are there, and gives the path of MEASUREMENT."""
    folder = Path(folder) / f"omop-{rows}"
    path = folder / "MEASUREMENT.csv"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "CONCEPT.csv", "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow("concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,"
                     "valid_start_date,valid_end_date,invalid_reason".split(","))
        units = {(u, name) for _, _, _, u, name, _ in TESTS}
        for concept, code, name, *_ in TESTS:
            out.writerow([concept, name, "Measurement", "LOINC", "Lab Test", "S", code, "1970-01-01", "2099-12-31", ""])
        for unit, name in sorted(units):
            out.writerow([unit, name, "Unit", "UCUM", "Unit", "S", name, "1970-01-01", "2099-12-31", ""])
    r = random.Random(5)
    part = path.with_suffix(".part")
    with open(part, "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(HEADER)
        n = 0
        while n < rows:
            person, visit = r.randrange(1, 50_000), r.randrange(1, 10 ** 7)
            day = f"20{r.randrange(10, 25)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}"
            at = f"{day} {r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}"
            for _ in range(r.randrange(3, 15)):
                concept, code, _, unit, text, mean = r.choice(TESTS)
                n += 1
                value = round(mean * r.uniform(0.6, 1.4), 2)
                low, high = (round(mean * 0.7, 1), round(mean * 1.3, 1)) if r.random() < 0.3 else ("", "")
                out.writerow([n, person, concept, day, at, at[11:], 32817, 4172703, value, 0, unit, low, high, 0, visit, 0, code, concept,
                              text, unit, value, "", ""])
    part.rename(path)
    return path


if __name__ == "__main__":
    print(write(sys.argv[1], int(sys.argv[2])))
