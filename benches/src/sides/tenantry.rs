//! Tenantry, through its public face.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use tenantry::{Id, Record, Store, TenantSession, UserId};
use uuid::Uuid;
use work::operation::LIST;
use work::{AuditTotals, Durability, Setup, Side, Status, Task};

/// As many as the largest number of threads: the hand-written side has one for each, too.
const READERS: u32 = 32;

pub(crate) struct Tenantry {
    setup: Setup,
    store: Store,
    sessions: Arc<[TenantSession]>,
}

pub(crate) struct Worker {
    sessions: Arc<[TenantSession]>,
}

fn open(setup: &Setup, durability: Durability) -> Result<Store> {
    let kind = super::find(&setup.side).context("no such side")?;
    let durability = match durability {
        Durability::Full => tenantry::Durability::Full,
        Durability::Normal => tenantry::Durability::Normal,
    };
    let builder = Store::builder().entity::<Task>().readers(READERS).durability(durability);
    Ok((kind.store)(builder).open(setup.folder.join("tenantry.db"))?)
}

fn user(tenant: usize) -> tenantry::Result<UserId> {
    UserId::new(format!("user-{tenant}"))
}

impl Tenantry {
    fn sessions(&self) -> Result<Arc<[TenantSession]>> {
        (0..self.setup.tenants).map(|tenant| Ok(self.store.session(&user(tenant)?)?)).collect()
    }

    /// The store's files with rows: itself, or those in its folder.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let path = self.store.path();
        if path.is_file() {
            return Ok(vec![path.to_owned()]);
        }
        let entries = std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        Ok(entries.into_iter().filter(|path| path.extension().is_some_and(|end| end == "db")).collect())
    }
}

impl Side for Tenantry {
    type Worker = Worker;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        // One tenant has one transaction: loading, each row is a commit of its own.
        let store = open(setup, Durability::Normal)?;
        for tenant in 0..setup.tenants {
            store.users().create(&user(tenant)?)?;
        }
        let mut side = Self { setup: setup.clone(), store, sessions: Arc::new([]) };
        side.sessions = side.sessions()?;
        Ok(Some(side))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(rows.len());
        for rows in rows.chunk_by(|(one, _), (next, _)| one == next) {
            let tasks = rows.iter().map(|(_, task)| task);
            ids.extend(self.sessions[rows[0].0].insert_many(tasks)?.into_iter().map(Id::uuid));
        }
        Ok(ids)
    }

    fn loaded(&mut self) -> Result<()> {
        self.store.close()?;
        self.store = open(&self.setup, self.setup.durability)?;
        self.sessions = self.sessions()?;
        Ok(())
    }

    fn worker(&self) -> Result<Worker> {
        Ok(Worker { sessions: Arc::clone(&self.sessions) })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        let report = self.store.check()?;
        ensure!(report.is_clean(), "the store is not what it should be: {report}");
        let mut totals = AuditTotals { bytes: 0, entries: 0, payload_bytes: 0 };
        for file in self.files()? {
            let file = rusqlite::Connection::open(file)?;
            let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0));
            // Users have entries of their own.
            let log = "FROM _audit WHERE entity = 'task' AND body IS NOT NULL";
            totals.bytes += one("SELECT ifnull(sum(bytes), 0) FROM _row_head")?;
            totals.entries += one(&format!("SELECT count(*) {log}"))?;
            totals.payload_bytes += one(&format!("SELECT ifnull(sum(length(body)), 0) {log}"))?;
        }
        Ok(Some(totals))
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
