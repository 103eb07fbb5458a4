//! SeaORM on the same tables, through its entities.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DatabaseConnection, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, SqliteTransactionMode, SqlxSqliteConnector, TransactionOptions,
    TransactionTrait,
};
use uuid::Uuid;
use work::ledger::{DEVICE, key};
use work::operation::LIST;
use work::{AuditTotals, Entry, Ledger, Record, Setup, Side, Status, Stored, Task};

use crate::database::{Database, Row};
use crate::entities::{audit, log_head, row_head, task};

pub(crate) struct SeaOrm<const AUDITED: bool>(Arc<Database>);

pub(crate) struct Worker<const AUDITED: bool> {
    database: Arc<Database>,
    writer: DatabaseConnection,
    readers: DatabaseConnection,
}

impl<const AUDITED: bool> Side for SeaOrm<AUDITED> {
    type Worker = Worker<AUDITED>;

    fn create(setup: &Setup) -> Result<Option<Self>> {
        Ok(Some(Self(Database::create(setup, AUDITED)?)))
    }

    fn load(&mut self, rows: &[(usize, Task)]) -> Result<Vec<Uuid>> {
        crate::sqlx::load(&self.0, AUDITED, rows)
    }

    fn worker(&self) -> Result<Self::Worker> {
        Ok(Worker {
            database: Arc::clone(&self.0),
            writer: SqlxSqliteConnector::from_sqlx_sqlite_pool(self.0.writer.clone()),
            readers: SqlxSqliteConnector::from_sqlx_sqlite_pool(self.0.readers.clone()),
        })
    }

    fn audit_totals(&self) -> Result<Option<AuditTotals>> {
        AUDITED.then(|| self.0.runtime.block_on(self.0.audit_totals())).transpose()
    }
}

/// Writes of one tenant.
struct Write<'c, C> {
    connection: &'c C,
    tenant: i64,
    ledger: Option<Ledger<'c>>,
}

impl<C: ConnectionTrait> Write<'_, C> {
    fn now(&self) -> i64 {
        self.ledger.as_ref().map_or_else(|| Timestamp::now().as_microsecond(), |ledger| ledger.now())
    }

    async fn insert(&mut self, new: &Task) -> Result<Uuid> {
        let id = match &mut self.ledger {
            Some(ledger) => ledger.new_id()?,
            None => Uuid::now_v7(),
        };
        let tags = rmp_serde::to_vec(&new.tags)?;
        let row = task::ActiveModel {
            number: NotSet,
            tenant: Set(self.tenant),
            id: Set(id.as_bytes().to_vec()),
            version: Set(1),
            updated: Set(self.now()),
            title: Set(new.title.clone()),
            status: Set(new.status.text().to_owned()),
            due: Set(new.due.map(Timestamp::as_microsecond)),
            points: Set(new.points),
            tags: Set(tags.clone()),
            body: Set(new.body.clone()),
        };
        task::Entity::insert(row).exec_without_returning(self.connection).await?;
        if let Some(ledger) = &mut self.ledger {
            let entry = ledger.insert(id, new, &tags)?;
            self.audit(entry).await?;
        }
        Ok(id)
    }

    async fn update(&mut self, id: Uuid, new: &Task) -> Result<()> {
        let before = self.before(id).await?;
        let tags = rmp_serde::to_vec(&new.tags)?;
        let done = task::Entity::update_many()
            .col_expr(task::Column::Version, Expr::col(task::Column::Version).add(1))
            .col_expr(task::Column::Updated, Expr::value(self.now()))
            .col_expr(task::Column::Title, Expr::value(new.title.clone()))
            .col_expr(task::Column::Status, Expr::value(new.status.text()))
            .col_expr(task::Column::Due, Expr::value(new.due.map(Timestamp::as_microsecond)))
            .col_expr(task::Column::Points, Expr::value(new.points))
            .col_expr(task::Column::Tags, Expr::value(tags.clone()))
            .col_expr(task::Column::Body, Expr::value(new.body.clone()))
            .filter(task::Column::Tenant.eq(self.tenant))
            .filter(task::Column::Id.eq(id.as_bytes().to_vec()))
            .exec(self.connection)
            .await?;
        ensure!(done.rows_affected == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.update(id, &before, new, &tags)?;
            self.audit(entry).await?;
        }
        Ok(())
    }

    async fn delete(&mut self, id: Uuid) -> Result<()> {
        let before = self.before(id).await?;
        let done = task::Entity::delete_many()
            .filter(task::Column::Tenant.eq(self.tenant))
            .filter(task::Column::Id.eq(id.as_bytes().to_vec()))
            .exec(self.connection)
            .await?;
        ensure!(done.rows_affected == 1, "no such task");
        if let (Some(ledger), Some(before)) = (&mut self.ledger, before) {
            let entry = ledger.delete(id, &before)?;
            self.audit(entry).await?;
        }
        Ok(())
    }

    /// The row as it is, for the log.
    async fn before(&mut self, id: Uuid) -> Result<Option<Stored>> {
        if self.ledger.is_none() {
            return Ok(None);
        }
        get(self.connection, self.tenant, id).await?.stored().map(Some)
    }

    async fn audit(&mut self, entry: Entry) -> Result<()> {
        let row = audit::ActiveModel {
            seq: NotSet,
            tenant: Set(self.tenant),
            number: Set(entry.number),
            txn: Set(entry.txn),
            actor: Set(Some(self.tenant)),
            device: Set(DEVICE.to_vec()),
            clock: Set(entry.clock),
            time: Set(entry.time),
            action: Set(entry.action.into_owned()),
            entity: Set("task".to_owned()),
            record: Set(entry.record.as_bytes().to_vec()),
            outcome: Set("ok".to_owned()),
            definition: Set(1),
            commitment: Set(entry.commitment.to_vec()),
            previous: Set(entry.previous.to_vec()),
            hash: Set(entry.hash.to_vec()),
            salt: Set(entry.salt.to_vec()),
            body: Set(entry.payload),
        };
        audit::Entity::insert(row).exec_without_returning(self.connection).await?;
        Ok(())
    }

    async fn write_head(&mut self) -> Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let head = &ledger.head;
        row_head::Entity::update_many()
            .col_expr(row_head::Column::Count, Expr::value(head.count))
            .col_expr(row_head::Column::Bytes, Expr::value(head.bytes))
            .filter(row_head::Column::Tenant.eq(self.tenant))
            .exec(self.connection)
            .await?;
        log_head::Entity::update_many()
            .col_expr(log_head::Column::Next, Expr::value(head.next))
            .col_expr(log_head::Column::Hash, Expr::value(head.hash.to_vec()))
            .col_expr(log_head::Column::Clock, Expr::value(head.clock))
            .col_expr(log_head::Column::LastId, Expr::value(head.last_id.to_be_bytes().to_vec()))
            .filter(log_head::Column::Tenant.eq(self.tenant))
            .exec(self.connection)
            .await?;
        Ok(())
    }
}

impl From<task::Model> for Row {
    fn from(model: task::Model) -> Self {
        let task::Model { id, version, updated, title, status, due, points, tags, body, .. } = model;
        Self { id, version, updated, title, status, due, points, tags, body }
    }
}

async fn get(connection: &impl ConnectionTrait, tenant: i64, id: Uuid) -> Result<Row> {
    let query = task::Entity::find()
        .filter(task::Column::Tenant.eq(tenant))
        .filter(task::Column::Id.eq(id.as_bytes().to_vec()));
    Ok(query.one(connection).await?.context("no such task")?.into())
}

impl<const AUDITED: bool> Worker<AUDITED> {
    fn transaction<R>(
        &self,
        tenant: usize,
        run: impl AsyncFnOnce(&mut Write<'_, sea_orm::DatabaseTransaction>) -> Result<R>,
    ) -> Result<R> {
        self.database.runtime.block_on(async {
            let mut heads = self.database.heads.lock().await;
            let options = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            };
            let transaction = self.writer.begin_with_options(options).await?;
            let ledger = AUDITED.then(|| heads.begin(tenant));
            let mut write = Write { connection: &transaction, tenant: key(tenant), ledger };
            let result = run(&mut write).await?;
            write.write_head().await?;
            let head = write.ledger.map(|ledger| ledger.head);
            transaction.commit().await?;
            if let Some(head) = head {
                heads.keep(tenant, head);
            }
            Ok(result)
        })
    }

    /// The writer without a transaction of several statements: without an audit log, a change is a
    /// single statement.
    fn plain(&self, tenant: usize) -> Write<'_, DatabaseConnection> {
        Write { connection: &self.writer, tenant: key(tenant), ledger: None }
    }

    fn list(&self, query: sea_orm::Select<task::Entity>) -> Result<Vec<Record>> {
        let rows = self.database.runtime.block_on(query.all(&self.readers))?;
        rows.into_iter().map(|row| Row::from(row).record()).collect()
    }
}

/// The tasks of a tenant.
fn tasks(tenant: usize) -> sea_orm::Select<task::Entity> {
    task::Entity::find().filter(task::Column::Tenant.eq(key(tenant)))
}

impl<const AUDITED: bool> work::Worker for Worker<AUDITED> {
    type Row = Record;

    fn insert(&mut self, tenant: usize, task: &Task) -> Result<Uuid> {
        if AUDITED {
            return self.transaction(tenant, async |write| write.insert(task).await);
        }
        self.database.runtime.block_on(self.plain(tenant).insert(task))
    }

    fn insert_many(&mut self, tenant: usize, tasks: &[Task]) -> Result<Vec<Uuid>> {
        self.transaction(tenant, async |write| {
            let mut ids = Vec::with_capacity(tasks.len());
            for task in tasks {
                ids.push(write.insert(task).await?);
            }
            Ok(ids)
        })
    }

    fn update(&mut self, tenant: usize, id: Uuid, task: &Task) -> Result<()> {
        if AUDITED {
            return self.transaction(tenant, async |write| write.update(id, task).await);
        }
        self.database.runtime.block_on(self.plain(tenant).update(id, task))
    }

    fn delete(&mut self, tenant: usize, id: Uuid) -> Result<()> {
        if AUDITED {
            return self.transaction(tenant, async |write| write.delete(id).await);
        }
        self.database.runtime.block_on(self.plain(tenant).delete(id))
    }

    fn delete_many(&mut self, tenant: usize, ids: &[Uuid]) -> Result<()> {
        self.transaction(tenant, async |write| {
            for id in ids {
                write.delete(*id).await?;
            }
            Ok(())
        })
    }

    fn get(&mut self, tenant: usize, id: Uuid) -> Result<Record> {
        self.database.runtime.block_on(get(&self.readers, key(tenant), id))?.record()
    }

    fn gets(&mut self, tenant: usize, ids: &[Uuid]) -> Result<Vec<Record>> {
        self.database.runtime.block_on(async {
            let transaction = self.readers.begin().await?;
            let mut records = Vec::with_capacity(ids.len());
            for id in ids {
                records.push(get(&transaction, key(tenant), *id).await?.record()?);
            }
            transaction.commit().await?;
            Ok(records)
        })
    }

    fn newest(&mut self, tenant: usize) -> Result<Vec<Record>> {
        self.list(tasks(tenant).order_by_desc(task::Column::Id).limit(LIST as u64))
    }

    fn due(&mut self, tenant: usize, before: Timestamp) -> Result<Vec<Record>> {
        let open = tasks(tenant)
            .filter(task::Column::Status.eq(Status::Open.text()))
            .filter(task::Column::Due.lt(before.as_microsecond()));
        let order = open.order_by_desc(task::Column::Due).order_by_desc(task::Column::Number);
        self.list(order.limit(LIST as u64))
    }

    fn scan(&mut self, tenant: usize) -> Result<Vec<Record>> {
        self.list(tasks(tenant).order_by_asc(task::Column::Id))
    }

    fn count(&mut self, tenant: usize) -> Result<u64> {
        self.database.runtime.block_on(async {
            if AUDITED {
                let head = row_head::Entity::find_by_id(key(tenant)).one(&self.readers).await?;
                return Ok(u64::try_from(head.context("no such tenant")?.count)?);
            }
            Ok(tasks(tenant).count(&self.readers).await?)
        })
    }

    fn task(row: Record) -> Task {
        row.task
    }
}
