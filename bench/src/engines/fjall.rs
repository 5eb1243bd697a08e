//! fjall: a log-structured merge tree.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Engine, Records, Result};

pub struct Fjall {
    database: Database,
    records: Keyspace,
}

impl Fjall {
    pub fn open(folder: &Path) -> Result<Fjall> {
        let database = Database::builder(folder).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Fjall { database, records })
    }
}

impl Engine for Fjall {
    fn commit(&mut self, clients: &[u32], records: &Records) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for &client in clients {
            batch.insert(&self.records, records.id(client), records.line(client));
        }
        Ok(batch.commit()?)
    }

    fn read(&mut self, found: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        for record in self.records.iter() {
            let (id, line) = record.into_inner()?;
            found(&id, &line);
        }
        Ok(())
    }
}
