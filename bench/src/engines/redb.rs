//! redb: a B-tree that copies pages on write. A commit is on the disk when it returns, as it is by default.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Engine, Records, Result};

pub struct Redb(Database);

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

impl Redb {
    pub fn open(folder: &Path) -> Result<Redb> {
        Ok(Redb(Database::create(folder.join("records.redb"))?))
    }
}

impl Engine for Redb {
    fn commit(&mut self, clients: &[u32], records: &Records) -> Result<()> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for &client in clients {
            table.insert(records.id(client), records.line(client))?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn read(&mut self, found: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for record in self.0.begin_read()?.open_table(TABLE)?.iter()? {
            let (id, line) = record?;
            found(id.value(), line.value());
        }
        Ok(())
    }
}
