#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// The derive names the crate as its users do.
extern crate self as tenantry;

mod admin;
mod audit;
mod cache;
mod check;
mod commit;
#[cfg(test)]
mod crash;
mod entity;
mod error;
mod identity;
mod lanes;
mod leave;
mod monitor;
mod query;
mod quota;
mod schema;
mod scope;
mod session;
mod sql;
mod statement;
mod store;
mod sync;
pub mod tenancy;
#[cfg(feature = "jwt")]
mod token;
#[cfg(feature = "axum")]
pub mod web;

pub use jiff::Timestamp;
pub use tenantry_derive::{Choice, Entity};
pub use uuid::Uuid;

pub use admin::{AdminSession, TenantReport, TenantReportPage};
pub use audit::{
    Anchor, AuditEntry, ChainProblem, Change, LogName, MissGroup, MissKind, MissQuery, MissReport, MissedId,
    Missing, MissingColumn, ReadEntry, ReadKind, Refusals, StateAt, TypedChange, Verification, Version,
};
pub use check::{Finding, Report};
pub use entity::{
    AsNested, Column, ColumnDefinition, ColumnKind, Definition, Direction, Entity, Field, Fields, Id,
    IndexDefinition, Model, Nested, OnDelete, Record, Refers, Target, Tenancy, Value,
};
pub use error::{Error, KeyProblem, Result, TokenProblem};
pub use identity::{
    Invitation, Membership, Organization, OrganizationId, Role, StoreRole, TenantName, User, UserId,
};
pub use leave::{BundleProblem, Erasure, Exported, ImportOptions, Imported, Scrub};
pub use monitor::{
    CacheStats, CommitStats, Monitoring, Operation, OperationStats, PartitionStats, ReaderStats,
    SlowOperation, Stats, Summary, TenantStats,
};
pub use query::{Cursor, DynamicColumn, Filter, Number, Order, Ordered, Patch, Text, column};
pub use quota::{Quota, QuotaKind, Usage};
pub use schema::Partitioning;
pub use session::{
    Audit, AuditEntries, AuditPage, ChangedRecord, Dynamic, Joined, JoinedPage, MemberRecords,
    OrganizationAdmin, OrganizationSession, Page, Pair, Query, ReadPage, Reads, Records, ReferenceSession,
    Session, TenantSession, Transaction, Upserted, Verbs,
};
pub use sql::{PlanStep, Sql, SqlCancel, SqlColumn, SqlLimits, SqlRow, SqlRows, SqlStream};
#[cfg(feature = "sqlcipher")]
pub use store::Key;
pub use store::{
    Builder, Durability, ExpiredLog, LogRetention, MoveProgress, Organizations, Partition, Partitions,
    PoolClass, RepartitionProgress, Store, Users,
};
#[cfg(feature = "jwt")]
pub use token::{Algorithm, TokenVerifier};

/// What the derives call. Not for anybody else.
#[doc(hidden)]
pub mod codegen_support {
    pub use crate::entity::{
        AsNested, Column, ColumnDefinition, ColumnKind, Decoder, Definition, Encoder, Entity, Field,
        IndexDefinition, OnDelete, Raw, Tenancy, Value, column_of, reference_of,
    };
    pub use crate::query::Ordered;
    pub use crate::tenancy;
    pub use std::result::Result as StdResult;
    pub type Result<T> = crate::Result<T>;
}
