//! The tables, and how older files get them.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::domains;
use super::{Source, StoreError};

/// Marks a file as a database of ours (SQLite's `application_id`): "plgc".
const APPLICATION: i64 = 0x706c_6763;
/// The newest version (SQLite's `user_version`). A file of an older one is migrated, one of a newer
/// one refused.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// `MIGRATIONS[n]` makes version `n + 1` of version `n`. Once released, a step is never changed.
const MIGRATIONS: &[fn() -> String] = &[|| domains::SCHEMAS.concat()];

/// Refuses files that are not ours or from the future, before anything is written.
pub(super) fn check(connection: &Connection, name: &str) -> Result<(), StoreError> {
    let number = |pragma: &str| -> Result<i64, StoreError> {
        let value = connection.pragma_query_value(None, pragma, |row| row.get(0));
        value.map_err(|error| StoreError::of(name, &error))
    };
    let (found, application, pages) =
        (number("user_version")?, number("application_id")?, number("page_count")?);
    if application != APPLICATION && pages > 0 {
        return Err(StoreError::Foreign { file: name.to_owned() });
    }
    if found > VERSION {
        return Err(StoreError::Newer { file: name.to_owned(), found, known: VERSION });
    }
    Ok(())
}

/// Brings the database to the newest version, in one transaction.
pub(super) fn migrate(
    connection: &Connection,
    name: &str,
    source: &Source,
) -> Result<(), StoreError> {
    migrated(connection, source).map_err(|error| StoreError::of(name, &error))
}

fn migrated(connection: &Connection, source: &Source) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0));
    for step in steps {
        transaction.execute_batch(&step())?;
    }
    if found < VERSION {
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    domains::first_rows(&transaction, source)?;
    transaction.commit()
}
