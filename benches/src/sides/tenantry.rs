//! Tenantry, through its public face.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use tenantry::{Id, Record, Store, TenantSession, UserId};
use uuid::Uuid;
use work::operation::LIST;
use work::{AuditTotals, Durability, Setup, Side, Status, Task};

pub(crate) struct Tenantry {
    store: Store,
    sessions: Arc<[TenantSession]>,
}

pub(crate) struct Worker {
    sessions: Arc<[TenantSession]>,
}

fn open_store(path: &Path, durability: Durability) -> Result<Store> {
    // As many as the largest number of threads: the hand-written side has one for each, too.
    const READERS: u32 = 32;
    let durability = match durability {
        Durability::Full => tenantry::Durability::Full,
        Durability::Normal => tenantry::Durability::Normal,
    };
    Ok(Store::builder().entity::<Task>().readers(READERS).durability(durability).open(path)?)
}

impl Side for Tenantry {
    type Worker = Worker;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        let store = open_store(&setup.folder.join("tenantry.db"), setup.durability)?;
        let sessions = (0..setup.tenants)
            .map(|tenant| {
                let user = store.users().create(&UserId::new(format!("user-{tenant}"))?)?;
                store.session(&user)
            })
            .collect::<tenantry::Result<_>>()?;
        Ok(Some(Self { store, sessions }))
    }

    fn worker(&self) -> Result<Worker> {
        Ok(Worker { sessions: Arc::clone(&self.sessions) })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        let report = self.store.check()?;
        ensure!(report.is_clean(), "the store is not what it should be: {report}");
        let file = rusqlite::Connection::open(self.store.path())?;
        let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0));
        let payloads = "FROM _audit WHERE entity = 'task' AND body IS NOT NULL";
        Ok(Some(AuditTotals {
            bytes: one("SELECT sum(bytes) FROM _row_head")?,
            // Users have entries of their own.
            entries: one("SELECT count(*) FROM _audit WHERE entity = 'task'")?,
            payloads: one(&format!("SELECT count(*) {payloads}"))?,
            payload_bytes: one(&format!("SELECT sum(length(body)) {payloads}"))?,
        }))
    }
}

impl work::Worker for Worker {
    type Row = Record<Task>;

    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        Ok(self.sessions[tenant].insert(task)?.uuid())
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        Ok(self.sessions[tenant].insert_many(tasks)?.into_iter().map(Id::uuid).collect())
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        self.sessions[tenant].update(Id::from_uuid(id), task)?;
        Ok(())
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        Ok(self.sessions[tenant].delete(Id::<Task>::from_uuid(id))?)
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        Ok(self.sessions[tenant]
            .transaction(|tx| ids.iter().try_for_each(|id| tx.delete(Id::<Task>::from_uuid(*id))))?)
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<Self::Row> {
        Ok(self.sessions[tenant].get(Id::from_uuid(id))?)
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Self::Row>> {
        let read =
            |view: &tenantry::Verbs<'_, _>| ids.iter().map(|id| view.get(Id::from_uuid(*id))).collect();
        Ok(self.sessions[tenant].read(read)?)
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Self::Row>> {
        let order = Record::<Task>::CREATED.desc();
        Ok(self.sessions[tenant].query::<Task>().order_by(order).limit(LIST as u64).list()?)
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Self::Row>> {
        let filter = Task::STATUS.eq(Status::Open).and(Task::DUE.lt(before));
        let query = self.sessions[tenant].query::<Task>().filter(filter);
        Ok(query.order_by(Task::DUE.desc()).limit(LIST as u64).list()?)
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Self::Row>> {
        Ok(self.sessions[tenant].list::<Task>()?)
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        Ok(self.sessions[tenant].count::<Task>()?)
    }

    fn task(row: Self::Row) -> Task {
        row.value
    }
}
