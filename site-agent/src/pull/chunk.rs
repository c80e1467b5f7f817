//! One chunk of a table, from the server to disk.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use adapters::pgcopy::{self, Header};
use futures::StreamExt as _;
use tokio_postgres::{Client, IsolationLevel};

use super::error::{PullError, file, querying, quoted};
use super::settings::Postgres;
use super::tables::Table;

/// Which rows are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// Keys greater than this.
    pub(super) after: Option<i64>,
    /// Keys up to this, where the last pass ended a chunk there.
    pub(super) bound: Option<i64>,
    /// So many rows, and those with the same key as the last of them.
    pub(super) rows: u64,
}

/// A range of the last pass may have grown to so many times a chunk's rows before it is cut in two.
const GROWN: u64 = 2;

impl Range {
    fn limit(self) -> u64 {
        if self.bound.is_some() { self.rows * GROWN } else { self.rows }
    }

    /// The query. `WITH TIES` keeps rows of one key in one chunk, so that a key that is not unique loses none.
    fn sql(self, schema: &str, table: &Table) -> String {
        let columns: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
        let key = quoted(table.key());
        let mut conditions = match self.after {
            Some(after) => format!("{key} > {after}"),
            None => format!("{key} IS NOT NULL"),
        };
        if let Some(bound) = self.bound {
            conditions += &format!(" AND {key} <= {bound}");
        }
        format!(
            "SELECT {} FROM {}.{} WHERE {conditions} ORDER BY {key} FETCH FIRST {} ROWS WITH TIES",
            columns.join(", "),
            quoted(schema),
            quoted(&table.name),
            self.limit()
        )
    }
}

/// The file of the chunk behind a key. The next pass, which asks for the same ranges, has the same names.
pub(super) fn name(after: Option<i64>) -> String {
    after.map_or_else(|| "start.pgcopy".to_owned(), |after| format!("after-{after}.pgcopy"))
}

/// Pulls a chunk into a folder. When it returns, the chunk is on disk under its name, whole. Returns its header and its bytes.
pub(super) async fn pull(
    client: &mut Client,
    settings: &Postgres,
    table: &Table,
    range: Range,
    folder: &Path,
) -> Result<(Header, u64), PullError> {
    let path = folder.join(name(range.after));
    let temporary = folder.join(format!(".{}.tmp", name(range.after)));
    std::fs::create_dir_all(folder).map_err(|e| file(folder, &e))?;
    let mut header = Header {
        table: table.name.clone(),
        columns: table.columns.clone(),
        after: range.after,
        upto: None,
        last: false,
        rows: 0,
    };
    let line = header.line(0);
    let bytes = fetch(client, settings, table, range, &line, &temporary).await?;
    let wrong = |e: &dyn std::fmt::Display| file(&temporary, e);
    let mut written = File::options().read(true).write(true).open(&temporary).map_err(|e| wrong(&e))?;
    let checked = pgcopy::check(BufReader::with_capacity(1 << 17, &written))
        .map_err(|e| PullError::Chunk { table: table.name.clone(), reason: e.to_string() })?;
    let full = checked.rows >= range.limit();
    header.rows = checked.rows;
    header.upto = match range.bound {
        Some(bound) if !full => Some(bound),
        _ => checked.last_key.or(range.after),
    };
    header.last = range.bound.is_none() && !full;
    written.seek(SeekFrom::Start(0)).map_err(|e| wrong(&e))?;
    written.write_all(&header.line(line.len())).map_err(|e| wrong(&e))?;
    written.sync_all().map_err(|e| wrong(&e))?;
    std::fs::rename(&temporary, &path).map_err(|e| wrong(&e))?;
    platform::files::sync_folder(folder).map_err(|e| file(folder, &e))?;
    Ok((header, bytes))
}

/// Writes the line and the server's bytes to a file.
async fn fetch(
    client: &mut Client,
    settings: &Postgres,
    table: &Table,
    range: Range,
    line: &[u8],
    path: &Path,
) -> Result<u64, PullError> {
    let wrong = |e: tokio_postgres::Error| querying(settings, &table.name, table.key(), &e);
    let sql = range.sql(&settings.schema, table);
    let transaction = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = transaction.start().await.map_err(wrong)?;
    // From here to the end of the transaction nobody can change the table's columns: what is prepared is what is copied.
    let statement = transaction.prepare(&sql).await.map_err(wrong)?;
    let same = statement.columns().len() == table.columns.len()
        && statement.columns().iter().zip(&table.columns).all(|(a, b)| a.type_().oid() == b.oid);
    if !same {
        return Err(PullError::Changed { table: table.name.clone() });
    }
    let copy = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let mut rows = Box::pin(transaction.copy_out(&copy).await.map_err(wrong)?);
    let mut out = BufWriter::with_capacity(1 << 17, File::create(path).map_err(|e| file(path, &e))?);
    out.write_all(line).map_err(|e| file(path, &e))?;
    let mut bytes = 0;
    while let Some(piece) = rows.next().await {
        let piece = piece.map_err(wrong)?;
        out.write_all(&piece).map_err(|e| file(path, &e))?;
        bytes += piece.len() as u64;
    }
    drop(rows);
    out.flush().map_err(|e| file(path, &e))?;
    transaction.commit().await.map_err(wrong)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_its_columns_and_its_keys() {
        let column = |name: &str| pgcopy::Column { name: name.to_owned(), oid: 23 };
        let table =
            Table { name: "person".to_owned(), columns: vec![column("person_id"), column("a\"b")], expected: 0 };
        let sql = |after, bound| Range { after, bound, rows: 10 }.sql("cdm", &table);
        assert_eq!(
            sql(None, None),
            "SELECT \"person_id\", \"a\"\"b\" FROM \"cdm\".\"person\" WHERE \"person_id\" IS NOT NULL ORDER BY \"person_id\" \
             FETCH FIRST 10 ROWS WITH TIES"
        );
        let ranged = sql(Some(-5), Some(7));
        assert!(ranged.contains("WHERE \"person_id\" > -5 AND \"person_id\" <= 7 ORDER"), "{ranged}");
        assert!(ranged.contains("FIRST 20 ROWS"), "{ranged}");
        assert_eq!((name(None), name(Some(-5))), ("start.pgcopy".to_owned(), "after--5.pgcopy".to_owned()));
    }
}
