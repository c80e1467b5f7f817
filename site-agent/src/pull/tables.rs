//! What the server has of what the mapping reads: tables, columns, types, keys, privileges.

use std::collections::BTreeMap;

use adapters::{Adapter, pgcopy};
use tokio_postgres::Client;

use super::error::{PullError, connecting, no_privilege, quoted};
use super::settings::Postgres;
use crate::config::Source;

/// A table that is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    /// The key first, then every other column that the mapping reads.
    pub(super) columns: Vec<pgcopy::Column>,
    /// How many rows it may have, by the server's statistics.
    pub(super) expected: u64,
}

impl Table {
    /// The key's name.
    pub(super) fn key(&self) -> &str {
        self.columns.first().map_or("", |c| c.name.as_str())
    }
}

/// A column as the catalogue has it. Of a domain, the type below it.
struct Found {
    name: String,
    oid: u32,
    kind: String,
    not_null: bool,
    readable: bool,
    /// Whether an index begins with it, and whether it alone is the primary key.
    indexed: bool,
    primary: bool,
}

const CATALOGUE: &str = "\
SELECT c.relname, greatest(c.reltuples, 0)::float8, a.attname, coalesce(nullif(t.typbasetype, 0), t.oid), \
       format_type(a.atttypid, NULL), a.attnotnull, has_column_privilege(c.oid, a.attnum, 'SELECT'), \
       EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indkey[0] = a.attnum), \
       EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indnkeyatts = 1 \
               AND i.indkey[0] = a.attnum) \
FROM pg_catalog.pg_attribute a \
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped \
ORDER BY c.relname, a.attnum";

/// Finds the tables that the mapping reads, and what somebody should know about them.
pub(super) async fn find(
    client: &Client,
    settings: &Postgres,
    source: &Source,
    adapter: &dyn Adapter,
) -> Result<(Vec<Table>, Vec<String>), PullError> {
    let wrong = |e: tokio_postgres::Error| connecting(settings, &e);
    let schema = client
        .query_opt(
            "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = $1",
            &[&settings.schema],
        )
        .await
        .map_err(wrong)?;
    match schema.map(|row| row.try_get::<_, bool>(0)).transpose().map_err(wrong)? {
        None => {
            return Err(PullError::NoSchema { dbname: settings.dbname.clone(), schema: settings.schema.clone() });
        }
        Some(false) => return Err(no_privilege(settings, None)),
        Some(true) => {}
    }
    let mut all: BTreeMap<String, (f64, Vec<Found>)> = BTreeMap::new();
    for row in client.query(CATALOGUE, &[&settings.schema]).await.map_err(wrong)? {
        let get = || -> Result<(String, f64, Found), tokio_postgres::Error> {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                Found {
                    name: row.try_get(2)?,
                    oid: row.try_get(3)?,
                    kind: row.try_get(4)?,
                    not_null: row.try_get(5)?,
                    readable: row.try_get(6)?,
                    indexed: row.try_get(7)?,
                    primary: row.try_get(8)?,
                },
            ))
        };
        let (table, rows, column) = get().map_err(wrong)?;
        all.entry(table).or_insert_with(|| (rows, Vec::new())).1.push(column);
    }
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    for (name, (rows, columns)) in all {
        if let Some(table) = choose(settings, adapter, &name, rows, &columns)? {
            let key = columns.iter().find(|c| c.name == table.key());
            if key.is_some_and(|k| !k.indexed) {
                notes.push(format!(
                    "{name} has no index that begins with {}: the server sorts the table for each chunk; ask for one, or raise chunk_rows",
                    table.key()
                ));
            }
            if key.is_some_and(|k| !k.not_null) && has_null(client, settings, &table).await? {
                notes.push(format!("{name} has rows without {}, which are not read; mend them", table.key()));
            }
            out.push(table);
        }
    }
    if source.format == "omop" && !out.iter().any(|t| t.name.eq_ignore_ascii_case("person")) {
        return Err(PullError::NoTable {
            schema: settings.schema.clone(),
            table: "person".to_owned(),
            format: source.format.clone(),
        });
    }
    if out.is_empty() {
        let table = "that its mapping names".to_owned();
        return Err(PullError::NoTable { schema: settings.schema.clone(), table, format: source.format.clone() });
    }
    Ok((out, notes))
}

/// The columns of a table that are read; `None` where the mapping reads none of them.
fn choose(
    settings: &Postgres,
    adapter: &dyn Adapter,
    name: &str,
    rows: f64,
    columns: &[Found],
) -> Result<Option<Table>, PullError> {
    let mut table = Table { name: name.to_owned(), columns: Vec::new(), expected: rows as u64 };
    let file = super::file_of(&table);
    let wanted: Vec<&Found> = columns.iter().filter(|c| adapter.reads(&file, &c.name)).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    if adapter.links(&file) {
        return Err(PullError::Linkage { table: name.to_owned() });
    }
    let own = format!("{name}_id");
    let whole = |c: &&&Found| pgcopy::is_key(c.oid);
    let named = |n: &str| columns.iter().find(|c| c.name.eq_ignore_ascii_case(n));
    let key =
        [columns.iter().find(|c| c.primary), named(&own), named("person_id")].into_iter().flatten().find(|c| whole(&c));
    let Some(key) = key else { return Err(PullError::NoKey { table: name.to_owned() }) };
    for column in std::iter::once(key).chain(wanted.into_iter().filter(|c| c.name != key.name)) {
        if !column.readable {
            return Err(no_privilege(settings, Some(name)));
        }
        if !pgcopy::is_read(column.oid) {
            return Err(PullError::Type {
                table: name.to_owned(),
                column: column.name.clone(),
                kind: column.kind.clone(),
                read: pgcopy::types_read(),
            });
        }
        table.columns.push(pgcopy::Column { name: column.name.clone(), oid: column.oid });
    }
    Ok(Some(table))
}

async fn has_null(client: &Client, settings: &Postgres, table: &Table) -> Result<bool, PullError> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {}.{} WHERE {} IS NULL)",
        quoted(&settings.schema),
        quoted(&table.name),
        quoted(table.key())
    );
    let wrong = |e: tokio_postgres::Error| super::error::querying(settings, &table.name, table.key(), &e);
    client.query_one(&sql, &[]).await.map_err(wrong)?.try_get(0).map_err(wrong)
}
