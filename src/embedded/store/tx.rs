//! What a transaction can do: short words for the queries that all domains make.

use std::ops::Deref;

use prost::Message;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use super::{Fault, Source};

/// A transaction that reads. Statements are compiled once for each connection, so their text must be
/// constant: values are parameters.
#[derive(Debug)]
pub(crate) struct Tx<'a> {
    connection: &'a Connection,
    source: &'a Source,
}

impl<'a> Tx<'a> {
    pub(super) fn new(connection: &'a Connection, source: &'a Source) -> Self {
        Self { connection, source }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.source.clock.now()
    }

    /// The message in the first column of the first row.
    pub(crate) fn message<M: Message + Default>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<M>, Fault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(decoded).transpose()
    }

    /// The messages in the first column of all rows.
    pub(crate) fn messages<M: Message + Default>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<M>, Fault> {
        self.rows(sql, params, decoded)
    }

    /// The first column of the first row; `None` for no row. A column that may be NULL is read as an
    /// `Option`.
    pub(crate) fn value<T: FromSql>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<T>, Fault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(params, |row| row.get(0)).optional()?)
    }

    /// The first column of all rows.
    pub(crate) fn values<T: FromSql>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Vec<T>, Fault> {
        self.rows(sql, params, |row| Ok(row.get(0)?))
    }

    /// Whether there is a row.
    pub(crate) fn exists(&self, sql: &str, params: impl Params) -> Result<bool, Fault> {
        Ok(self.connection.prepare_cached(sql)?.exists(params)?)
    }

    /// What `f` makes of each row.
    pub(crate) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut f: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(f(row)?);
        }
        Ok(all)
    }
}

/// The message in the first column of a row.
fn decoded<M: Message + Default>(row: &Row<'_>) -> Result<M, Fault> {
    let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    Ok(M::decode(bytes)?)
}

/// A transaction that may write as well.
#[derive(Debug)]
pub(crate) struct WriteTx<'a>(Tx<'a>);

impl<'a> WriteTx<'a> {
    pub(super) fn new(connection: &'a Connection, source: &'a Source) -> Self {
        Self(Tx::new(connection, source))
    }

    /// A new id.
    pub(crate) fn new_id(&self) -> String {
        self.0.source.ids.next_id()
    }

    /// Runs a statement; how many rows it has changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, Fault> {
        Ok(self.0.connection.prepare_cached(sql)?.execute(params)?)
    }
}

impl<'a> Deref for WriteTx<'a> {
    type Target = Tx<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
