//! Tables of a PostgreSQL server, a real one: the same gold as by files, whatever happens on the way.

mod figures;
mod gold;
mod killed;
mod refused;
mod server;
mod site;
mod types;
