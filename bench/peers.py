"""One pass of a peer: `peers.py NAME FILE OUT`. Prints processor seconds of the work alone (no start, no imports) and what to agree on."""
import json
import resource
import sys


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def duckdb_fhir(path, out):
    import duckdb

    db = duckdb.connect()
    db.execute("SET TimeZone='UTC'; SET preserve_insertion_order=false")
    yield
    db.execute(f"""
        COPY (SELECT subject.reference[9:] AS patient, code.coding[1].code AS code, valueQuantity.value AS value,
                     valueQuantity.unit AS unit, effectiveDateTime::TIMESTAMPTZ AS effective
              FROM read_json('{path}', format = 'newline_delimited', columns = {{
                  subject: 'STRUCT(reference VARCHAR)', code: 'STRUCT(coding STRUCT(code VARCHAR)[])',
                  valueQuantity: 'STRUCT(value DOUBLE, unit VARCHAR)', effectiveDateTime: 'VARCHAR'}}))
        TO '{out}' (FORMAT parquet, COMPRESSION zstd)""")


def pyarrow_fhir(path, out):
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json
    import pyarrow.parquet as pq

    text = pa.string()
    wanted = pa.schema({
        "subject": pa.struct({"reference": text}), "code": pa.struct({"coding": pa.list_(pa.struct({"code": text}))}),
        "valueQuantity": pa.struct({"value": pa.float64(), "unit": text}), "effectiveDateTime": text})
    how = pyarrow.json.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore")
    yield
    table = pyarrow.json.read_json(path, pyarrow.json.ReadOptions(block_size=1 << 23), how).combine_chunks()
    part = lambda column, *names: pc.struct_field(column, list(names))
    coding = pc.list_element(part(table["code"].chunk(0), "coding"), 0)
    flat = pa.table({
        "patient": pc.utf8_slice_codeunits(part(table["subject"], "reference"), 8), "code": part(coding, "code"),
        "value": part(table["valueQuantity"], "value"), "unit": part(table["valueQuantity"], "unit"),
        "effective": table["effectiveDateTime"].cast(pa.timestamp("us", "UTC"))})
    pq.write_table(flat, out, compression="zstd")


def polars_fhir(path, out):
    import polars as pl

    types = {"subject": pl.Struct({"reference": pl.String}), "code": pl.Struct({"coding": pl.List(pl.Struct({"code": pl.String}))}),
             "valueQuantity": pl.Struct({"value": pl.Float64, "unit": pl.String}), "effectiveDateTime": pl.String}
    part = lambda column, name: pl.col(column).struct.field(name)
    yield
    pl.scan_ndjson(path, schema=types).select(
        part("subject", "reference").str.slice(8).alias("patient"),
        part("code", "coding").list.first().struct.field("code").alias("code"),
        part("valueQuantity", "value"), part("valueQuantity", "unit"),
        pl.col("effectiveDateTime").str.to_datetime("%Y-%m-%dT%H:%M:%S%:z", time_unit="us", time_zone="UTC").alias("effective"),
    ).sink_parquet(out, compression="zstd")


def split_hl7(path, out):
    """Nothing but the language's own split: no escapes, no repetitions, no rows."""
    with open(path, newline="") as f:
        messages = f.read().rstrip("\n").split("\n")
    yield
    total = 0.0
    for message in messages:
        patient, results = None, []
        for segment in message.split("\r"):
            if segment[:3] == "OBX":
                field = segment.split("|", 7)
                results.append((field[3].partition("^")[0], float(field[5]), field[6].partition("^")[0]))
            elif segment[:3] == "PID":
                patient = segment.split("|", 4)[3].partition("^")[0]
        total += sum(value for _, value, _ in results) if patient else 0
    yield {"sum": round(total, 2), "items": len(messages)}


OMOP = """{{'measurement_id': 'BIGINT', 'person_id': 'BIGINT', 'measurement_concept_id': 'INTEGER', 'measurement_date': 'DATE',
    'measurement_datetime': 'TIMESTAMP', 'measurement_time': 'VARCHAR', 'measurement_type_concept_id': 'INTEGER',
    'operator_concept_id': 'INTEGER', 'value_as_number': 'DOUBLE', 'value_as_concept_id': 'INTEGER', 'unit_concept_id': 'INTEGER',
    'range_low': 'DOUBLE', 'range_high': 'DOUBLE', 'provider_id': 'INTEGER', 'visit_occurrence_id': 'BIGINT',
    'visit_detail_id': 'BIGINT', 'measurement_source_value': 'VARCHAR', 'measurement_source_concept_id': 'INTEGER',
    'unit_source_value': 'VARCHAR', 'unit_source_concept_id': 'INTEGER', 'value_source_value': 'VARCHAR',
    'measurement_event_id': 'BIGINT', 'meas_event_field_concept_id': 'INTEGER'}}"""


def duckdb_omop(path, out):
    """Five columns, as in the FHIR task, the code looked up in CONCEPT."""
    import duckdb

    db = duckdb.connect()
    db.execute("SET preserve_insertion_order=false")
    concepts = path.replace("MEASUREMENT.csv", "CONCEPT.csv")
    columns = OMOP.format()
    yield
    db.execute(f"""
        COPY (SELECT person_id, c.concept_code AS code, value_as_number, unit_source_value, measurement_datetime
              FROM read_csv('{path}', header = true, columns = {columns}) m
              LEFT JOIN read_csv('{concepts}', header = true) c ON c.concept_id = m.measurement_source_concept_id)
        TO '{out}' (FORMAT parquet, COMPRESSION zstd)""")


def duckdb_omop_whole(path, out):
    """Every column as it stands, with no lookup."""
    import duckdb

    db = duckdb.connect()
    db.execute("SET preserve_insertion_order=false")
    columns = OMOP.format()
    yield
    db.execute(f"COPY (FROM read_csv('{path}', header = true, columns = {columns})) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")


def main():
    name, path, out = sys.argv[1:]
    steps = globals()[name](path, out)
    next(steps)
    before = cpu()
    said = next(steps, None) or {}
    spent = cpu() - before
    if name.endswith("fhir"):
        import duckdb

        rows, total, least = duckdb.sql(
            f"SELECT count(*), round(sum(\"value\"), 2), min(epoch_us(effective)) FROM '{out}'").fetchall()[0]
        said = {"items": rows, "sum": total, "least": least}
    elif "omop" in name:
        import duckdb

        rows, total = duckdb.sql(f"SELECT count(*), round(sum(value_as_number), 2) FROM '{out}'").fetchall()[0]
        said = {"items": rows, "sum": total}
    print(json.dumps({"cpu": spent} | said))


if __name__ == "__main__":
    main()
