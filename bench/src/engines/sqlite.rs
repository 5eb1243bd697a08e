//! SQLite, with a write-ahead log that is on the disk after each commit.

use std::path::Path;

use rusqlite::Connection;

use super::{Engine, Records, Result};

pub struct Sqlite(Connection);

impl Sqlite {
    pub fn open(folder: &Path) -> Result<Sqlite> {
        let connection = Connection::open(folder.join("records.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        let table =
            "CREATE TABLE IF NOT EXISTS records (id BLOB PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID";
        connection.execute(table, ())?;
        Ok(Sqlite(connection))
    }
}

impl Engine for Sqlite {
    fn commit(&mut self, clients: &[u32], records: &Records) -> Result<()> {
        let transaction = self.0.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2)")?;
        for &client in clients {
            insert.execute((records.id(client), records.line(client)))?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }

    fn read(&mut self, found: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let mut select = self.0.prepare("SELECT id, line FROM records")?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            found(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }
}
