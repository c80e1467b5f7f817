//! What can go wrong between the agent and a PostgreSQL server, and what to do about it.
//!
//! A server's own words about a query may hold a value of a patient, so only the code of such an error is told. What it says
//! when somebody connects is about roles and databases, and is told.

use std::path::Path;

use tokio_postgres::error::SqlState;

use super::settings::Postgres;

/// Why a pull stopped. What had come is on disk, and the next `site-agent ingest` goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// Which source it was.
    #[error("source {source_name}: {error}")]
    Source {
        /// The source.
        source_name: String,
        /// What happened.
        error: Box<PullError>,
    },
    /// Nobody answers.
    #[error("the PostgreSQL server at {at} can't be reached: {reason}; is it up, and are host and port right?")]
    Unreachable {
        /// Where.
        at: String,
        /// Why.
        reason: String,
    },
    /// The certificate is not the server's, or there is none.
    #[error(
        "no encrypted connection to {at}: {reason}; check ca_file, that host is the name in the server's certificate, and that \
         the server has ssl = on with TLS 1.3"
    )]
    Tls {
        /// Where.
        at: String,
        /// Why.
        reason: String,
    },
    /// The role or its password is not accepted.
    #[error("the PostgreSQL server at {at} refuses role {user}: {reason}; check the password file and pg_hba.conf")]
    Refused {
        /// Where.
        at: String,
        /// The role.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// The server wants a password, and the settings have none.
    #[error("the server at {at} asks for a password of role {user}; give password_file or password_env")]
    NoPassword {
        /// Where.
        at: String,
        /// The role.
        user: String,
    },
    /// The variable is not set.
    #[error("password_env names {name}, which is not set in the agent's environment")]
    NoVariable {
        /// The variable.
        name: String,
    },
    /// There is no such database.
    #[error("there is no database {dbname} at {at}; check dbname")]
    NoDatabase {
        /// Where.
        at: String,
        /// The database.
        dbname: String,
    },
    /// There is no such schema.
    #[error("database {dbname} has no schema {schema}; check schema")]
    NoSchema {
        /// The database.
        dbname: String,
        /// The schema.
        schema: String,
    },
    /// The server is older than what is asked of it.
    #[error("the server is PostgreSQL {version}; 13 or newer is needed")]
    Old {
        /// Its version.
        version: String,
    },
    /// A table is not there.
    #[error("schema {schema} has no table {table}, which {format} needs; check schema, or give a view of that name")]
    NoTable {
        /// The schema.
        schema: String,
        /// The table.
        table: String,
        /// The source's format.
        format: String,
    },
    /// A table of the last pass is not there.
    #[error(
        "schema {schema} had table {table} at the last pass, and has it no more; a pass without it would take all its rows back. \
         Restore it, or leave an empty table of that name"
    )]
    Gone {
        /// The schema.
        schema: String,
        /// The table.
        table: String,
    },
    /// The role may not read.
    #[error("role {user} may not read {what}; as its owner: {grant}")]
    NoPrivilege {
        /// The role.
        user: String,
        /// What.
        what: String,
        /// The statement that would allow it.
        grant: String,
    },
    /// No column orders the table.
    #[error(
        "table {table} has no whole number to go by: neither a primary key of one integer column, nor {table}_id, nor person_id; \
         give a view with such a column"
    )]
    NoKey {
        /// The table.
        table: String,
    },
    /// A type that is not read.
    #[error("column {table}.{column} has the type {kind}; read are {read}; cast it in a view")]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        kind: String,
        /// What is read.
        read: String,
    },
    /// A table's columns changed while it was read.
    #[error(
        "table {table} changed its columns or their types meanwhile; run site-agent ingest again: the pass begins anew"
    )]
    Changed {
        /// The table.
        table: String,
    },
    /// A raw national number would lie in a file.
    #[error(
        "the mapping reads linkage ids of table {table}, and a pull would store them; export that table as a file into a source \
         of its own"
    )]
    Linkage {
        /// The table.
        table: String,
    },
    /// The connection broke.
    #[error(
        "the connection broke while {table} was read: {reason}; nothing is lost, run site-agent ingest again to go on"
    )]
    Cut {
        /// The table.
        table: String,
        /// How.
        reason: String,
    },
    /// It took too long.
    #[error(
        "the server was stopped at {table}, after statement_seconds or by its administrator; is there an index on {key}? \
         Else lower chunk_rows or raise statement_seconds, and run site-agent ingest again to go on"
    )]
    Stopped {
        /// The table.
        table: String,
        /// Its key.
        key: String,
    },
    /// Somebody else holds the table.
    #[error(
        "table {table} is locked, as while it is loaded; run site-agent ingest again when that is over, it goes on there"
    )]
    Locked {
        /// The table.
        table: String,
    },
    /// A replica took the rows away.
    #[error(
        "the replica had to give up the read of {table} for what its primary did; run site-agent ingest again to go on, or set \
         max_standby_streaming_delay higher there"
    )]
    Conflict {
        /// The table.
        table: String,
    },
    /// Anything else that the server says.
    #[error("the server failed at {table} with SQLSTATE {code}; see its log")]
    Server {
        /// The table.
        table: String,
        /// The code.
        code: String,
    },
    /// What came is no whole chunk.
    #[error("what the server sent of {table} is no whole chunk: {reason}")]
    Chunk {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// The disk failed.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The mapping is wrong.
    #[error(transparent)]
    Adapter(#[from] adapters::AdapterError),
    /// The certificate authority can't be read.
    #[error(transparent)]
    Cert(#[from] certs::CertError),
}

pub(super) fn file(path: &Path, reason: &dyn std::fmt::Display) -> PullError {
    PullError::File { path: path.display().to_string(), reason: reason.to_string() }
}

/// An identifier as SQL has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The whole chain of an error's causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        out += &format!(": {cause}");
        next = cause.source();
    }
    out
}

/// An error of connecting.
pub(super) fn connecting(settings: &Postgres, error: &tokio_postgres::Error) -> PullError {
    let (at, user) = (settings.at(), settings.user.clone());
    let Some(db) = error.as_db_error() else {
        let reason = causes(error);
        return match &reason {
            text if text.contains("password") => PullError::NoPassword { at, user },
            text if text.contains("TLS") => PullError::Tls { at, reason },
            _ => PullError::Unreachable { at, reason },
        };
    };
    let reason = db.message().to_owned();
    match *db.code() {
        SqlState::INVALID_CATALOG_NAME => PullError::NoDatabase { at, dbname: settings.dbname.clone() },
        SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
        | SqlState::INSUFFICIENT_PRIVILEGE => PullError::Refused { at, user, reason },
        _ => PullError::Unreachable { at, reason },
    }
}

/// An error of a query over a table with a key.
pub(super) fn querying(settings: &Postgres, table: &str, key: &str, error: &tokio_postgres::Error) -> PullError {
    let name = table.to_owned();
    let Some(db) = error.as_db_error() else { return PullError::Cut { table: name, reason: causes(error) } };
    match *db.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => no_privilege(settings, Some(table)),
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN | SqlState::DATATYPE_MISMATCH => {
            PullError::Changed { table: name }
        }
        SqlState::QUERY_CANCELED => PullError::Stopped { table: name, key: key.to_owned() },
        SqlState::LOCK_NOT_AVAILABLE => PullError::Locked { table: name },
        SqlState::T_R_SERIALIZATION_FAILURE => PullError::Conflict { table: name },
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN | SqlState::CANNOT_CONNECT_NOW => {
            PullError::Cut { table: name, reason: "the server shut down".to_owned() }
        }
        _ => PullError::Server { table: name, code: db.code().code().to_owned() },
    }
}

/// A table, or without one the schema, that the role may not read.
pub(super) fn no_privilege(settings: &Postgres, table: Option<&str>) -> PullError {
    let (schema, user) = (quoted(&settings.schema), quoted(&settings.user));
    let (what, grant) = match table {
        None => (format!("schema {}", settings.schema), format!("GRANT USAGE ON SCHEMA {schema} TO {user};")),
        Some(table) => (
            format!("table {}.{table}", settings.schema),
            format!("GRANT SELECT ON {schema}.{} TO {user};", quoted(table)),
        ),
    };
    PullError::NoPrivilege { user: settings.user.clone(), what, grant }
}
