//! A tenant's right to leave: everything of a user, or of an organization and its members, as one stream
//! that another store takes in, and in forms that other programs read.

mod accept;
mod bundle;
pub(crate) mod erase;
mod form;
mod frame;
mod import;
mod json_lines;
mod problem;
mod source;
mod sqlite;
mod stream;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

pub use erase::{Erasure, Scrub};
pub use problem::BundleProblem;
use source::{Kind, Source};

use crate::error::Result;
use crate::identity::{OrganizationId, TenantKey, UserId};
use crate::schema::identities;
use crate::session::TenantSession;
use crate::store::{By, Inner, Organizations, Users};

/// What left with an export.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Records of entities.
    pub rows: u64,
    /// Entries of logs.
    pub entries: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Of a bundle: SHA-256 over all of it, its last 32 bytes.
    pub digest: Option<[u8; 32]>,
}

/// What came in with an import.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The id of the user or the organization in this store.
    pub id: String,
    /// Records of entities.
    pub rows: u64,
    /// Entries of logs, without the one that each log has got for the import.
    pub entries: u64,
    /// Memberships of an organization, also those that are over.
    pub members: u64,
    /// Members who were no users here, and have been created.
    pub users: Vec<UserId>,
    /// Reference records that were brought along.
    pub reference_records: u64,
    /// The bundle's digest, as [`Exported::digest`].
    pub digest: [u8; 32],
}

/// How a bundle is taken in. What it may not do by itself is off by default.
///
/// ```
/// use tenantry::ImportOptions;
/// let options = ImportOptions::new().under("ada-2").with_reference_records().bytes_max(1 << 20);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ImportOptions {
    id: Option<String>,
    reference_records: bool,
    create_users: bool,
    quotas: bool,
    bytes_max: u64,
    frame_bytes_max: Option<u64>,
    members_max: u32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ImportOptions {
    /// Under the tenant's own id, with nothing beside it, and at most 1 GiB.
    pub fn new() -> Self {
        Self {
            id: None,
            reference_records: false,
            create_users: false,
            quotas: false,
            bytes_max: 1 << 30,
            frame_bytes_max: None,
            members_max: 10_000,
        }
    }

    /// Takes the user or the organization in under another id. Its log goes on naming people as before.
    pub fn under(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Inserts the reference records that the tenant's refer to and that the store does not have, as the
    /// application itself. Those that the store has stay as they are.
    pub fn with_reference_records(mut self) -> Self {
        self.reference_records = true;
        self
    }

    /// Creates users for the members of an organization who are none here.
    pub fn creating_users(mut self) -> Self {
        self.create_users = true;
        self
    }

    /// Takes the tenant's own quotas over. They are what the other store granted, and a bundle can be
    /// written by anybody: without this, the tenant has none of its own, and what it brings has to fit
    /// [`Builder::quota`](crate::Builder::quota).
    pub fn with_quotas(mut self) -> Self {
        self.quotas = true;
        self
    }

    /// The most bytes that the bundle may have. 1 GiB by default. Checking what came in takes memory in
    /// proportion to the tenant's largest log.
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// The most members that an organization may have. 10,000 by default: each takes up a tenant's key, of which a
    /// store has 8,388,607, also if the bundle is refused later on in a store of several files.
    pub fn members_max(mut self, members: u32) -> Self {
        self.members_max = members;
        self
    }

    /// The most bytes of one frame, which is held in memory. By default what two states of a record may
    /// have here, and 1 MiB. A log can hold records of times in which they were allowed to be larger.
    pub fn frame_bytes_max(mut self, bytes: u64) -> Self {
        self.frame_bytes_max = Some(bytes);
        self
    }
}

/// What a user or an organization is leaving with, for whoever is asking. Of an administrator's export each of its logs says so,
/// before anything is read.
fn source(store: &Arc<Inner>, by: &By, home: TenantKey) -> Result<Source> {
    if by.actor.admin.is_some() {
        let members = store.read(|connection| identities::whole_members(connection, home))?;
        let tenants: Vec<TenantKey> =
            [home].into_iter().chain(members.into_iter().map(|member| member.key)).collect();
        store.look(by, home, &tenants, "export")?;
    }
    Source::of(store, &by.actor, home)
}

impl Users<'_> {
    /// Writes everything of a user as one self-contained stream, a *bundle*, which
    /// [`import`](Self::import) takes in elsewhere: the user's own records with all their columns, the
    /// secret ones too, since they are the user's; the whole log; the entities' definitions; the reference
    /// records that they refer to. What is in organizations is theirs, and not in it.
    ///
    /// It reads one state of the store, beside reads and writes; in memory it has a piece at a time and the
    /// ids of reference records. The same tenant gives the same bytes again, since they hold neither a time
    /// nor anything of this store. `docs/bundle-format.md` describes them.
    ///
    /// A bundle is **not encrypted** and **not signed**: whoever has it reads it, and can write another.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`](crate::Error::UnknownUser); [`Error::Io`](crate::Error::Io) if the writer
    /// fails.
    ///
    /// ```
    /// # use tenantry::{Entity, ImportOptions, Store, UserId};
    /// #[derive(Debug, PartialEq, Entity)]
    /// struct Task {
    ///     title: String,
    /// }
    ///
    /// # fn main() -> tenantry::Result<()> {
    /// let here = Store::builder().entity::<Task>().temporary()?;
    /// let ada = here.users().create(&UserId::new("ada")?)?;
    /// let id = here.session(&ada)?.insert(&Task { title: "Dig".into() })?;
    /// let mut bundle = Vec::new();
    /// here.users().export(&ada, &mut bundle)?;
    ///
    /// let there = Store::builder().entity::<Task>().temporary()?;
    /// let imported = there.users().import(&mut &bundle[..], &ImportOptions::new())?;
    /// assert_eq!((imported.id.as_str(), imported.rows), ("ada", 1));
    /// assert_eq!(there.session(&ada)?.get(id)?.title, "Dig");
    /// # Ok(()) }
    /// ```
    pub fn export(&self, id: &impl AsRef<UserId>, writer: &mut impl Write) -> Result<Exported> {
        bundle::write(&self.source(id.as_ref())?, writer)
    }

    /// Writes everything of a user as JSON Lines: one object a line. The first says what it is, with the
    /// entities' definitions; then come the records, with the values as the user's sessions read them, the
    /// log's entries, and the reference records that are referred to; the last line has the counts, so that
    /// one sees whether all is there.
    ///
    /// Values and entries have the form of `docs/audit-export.md`, which loses nothing: what JSON has no type
    /// for is an object that names it, as `{"time": "2026-01-31T12:00:00Z"}`. Where it says less than a
    /// [bundle](Self::export): a member's reference to a record of the organization that is gone is null, as
    /// sessions read it; reference records have no versions; the log's entries have their hashes and
    /// not all of what these were made of.
    ///
    /// # Errors
    ///
    /// As [`export`](Self::export).
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let ada = store.users().create(&UserId::new("ada")?)?;
    /// # store.session(&ada)?.insert(&Task { title: "Dig".into() })?;
    /// let mut lines = Vec::new();
    /// store.users().export_json_lines(&ada, &mut lines)?;
    /// let lines = String::from_utf8(lines).unwrap();
    /// assert!(lines.lines().nth(1).unwrap().contains(r#""title":"Dig""#));
    /// # Ok(()) }
    /// ```
    pub fn export_json_lines(&self, id: &impl AsRef<UserId>, writer: &mut impl Write) -> Result<Exported> {
        json_lines::write(&self.source(id.as_ref())?, writer)
    }

    /// Writes everything of a user as a plain SQLite file: a table for each entity under its own name with
    /// `id`, `version`, `created`, `updated` and the entity's columns, its unique sets, indexes and foreign
    /// keys; the reference records that are referred to; the log as `audit`. Values are readable: times as
    /// RFC 3339, nested values as the JSON that is closest. A name that
    /// an entity gives to a column of its own has an underscore before the other one, as `_id`.
    ///
    /// The file is not encrypted, whatever the store is. It is made under another name and moved into place
    /// whole.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) if there is something at the path already, and
    /// as [`export`](Self::export).
    ///
    /// ```
    /// # use tenantry::{Entity, Store, UserId};
    /// # #[derive(Entity)] struct Task { title: String }
    /// # fn main() -> tenantry::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("ada.db");
    /// # let store = Store::builder().entity::<Task>().temporary()?;
    /// # let ada = store.users().create(&UserId::new("ada")?)?;
    /// # store.session(&ada)?.insert(&Task { title: "Dig".into() })?;
    /// store.users().export_sqlite(&ada, &path)?;
    /// let file = rusqlite::Connection::open(&path).unwrap();
    /// let title: String = file.query_row("SELECT title FROM Task", [], |row| row.get(0)).unwrap();
    /// assert_eq!(title, "Dig");
    /// # Ok(()) }
    /// ```
    pub fn export_sqlite(&self, id: &impl AsRef<UserId>, path: impl AsRef<Path>) -> Result<Exported> {
        sqlite::write(&self.source(id.as_ref())?, path.as_ref())
    }

    /// Takes a user in from a bundle: all of it, or nothing. The records keep their ids, versions and
    /// order, the log its numbers and hashes; the log gets one entry more, `tenant.import`.
    ///
    /// Everything in the bundle is checked: the frames' checksums, each value as an insert's, references,
    /// unique sets, quotas, the log's chain, and whether records and log agree. Whether what it says is
    /// *true* nobody can check: the log is as trustworthy as whoever gave the bundle, up to its entry
    /// `tenant.import`.
    ///
    /// In a store of one file nobody else writes meanwhile: give it a file, or bytes, and not a connection
    /// that may be slow.
    ///
    /// # Errors
    ///
    /// [`Error::Bundle`](crate::Error::Bundle) with what is wrong with it;
    /// [`Error::Exists`](crate::Error::Exists) if the id is taken; for values, references, unique sets and
    /// quotas what an insert would answer; [`Error::Io`](crate::Error::Io) if the reader fails.
    pub fn import(&self, reader: &mut impl Read, options: &ImportOptions) -> Result<Imported> {
        import::run(self.inner(), self.by(), Kind::User, reader, options)
    }

    fn source(&self, id: &UserId) -> Result<Source> {
        let store = self.inner();
        let home = self.key(id, "export")?;
        source(store, self.by(), home)
    }
}

impl Organizations<'_> {
    /// Writes everything of an organization and of its members in it as one bundle, as
    /// [`Users::export`] does of a user: the shared records, the memberships with their roles, also those
    /// that are over, each member's private records in it, and all of their logs. The members' ids are in
    /// it; their own records are not.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownOrganization`](crate::Error::UnknownOrganization), and as [`Users::export`].
    pub fn export(&self, id: &impl AsRef<OrganizationId>, writer: &mut impl Write) -> Result<Exported> {
        bundle::write(&self.source(id.as_ref())?, writer)
    }

    /// Writes everything of an organization and of its members in it as JSON Lines, as
    /// [`Users::export_json_lines`] does of a user. The members come second; their records and entries name
    /// them.
    ///
    /// # Errors
    ///
    /// As [`export`](Self::export).
    pub fn export_json_lines(
        &self,
        id: &impl AsRef<OrganizationId>,
        writer: &mut impl Write,
    ) -> Result<Exported> {
        json_lines::write(&self.source(id.as_ref())?, writer)
    }

    /// Writes everything of an organization and of its members in it as a plain SQLite file, as
    /// [`Users::export_sqlite`] does of a user. `members` has the memberships; the members' private records
    /// have a column `member` that names whose they are, since two members may give one id to two records,
    /// and their logs are `private_audit`.
    ///
    /// # Errors
    ///
    /// As [`Users::export_sqlite`].
    pub fn export_sqlite(&self, id: &impl AsRef<OrganizationId>, path: impl AsRef<Path>) -> Result<Exported> {
        sqlite::write(&self.source(id.as_ref())?, path.as_ref())
    }

    /// Takes an organization in from a bundle, as [`Users::import`] does a user. Its members are the users
    /// of this store who have the same ids, with the roles that the bundle names: whether they are the same
    /// people is for the application to know.
    ///
    /// # Errors
    ///
    /// As [`Users::import`], and [`BundleProblem::MissingUsers`] if members are no users here and
    /// [`ImportOptions::creating_users`] was not asked for.
    pub fn import(&self, reader: &mut impl Read, options: &ImportOptions) -> Result<Imported> {
        import::run(self.inner(), self.by(), Kind::Organization, reader, options)
    }

    fn source(&self, id: &OrganizationId) -> Result<Source> {
        let store = self.inner();
        let home = self.key(id, "export")?;
        source(store, self.by(), home)
    }
}

impl TenantSession {
    /// Writes everything of the session's user as a bundle, as [`Users::export`] does. It leaves no entry
    /// in the log, as other reads do not.
    ///
    /// # Errors
    ///
    /// The session has ended, and as [`Users::export`].
    pub fn export(&self, writer: &mut impl Write) -> Result<Exported> {
        bundle::write(&self.source()?, writer)
    }

    /// Writes everything of the session's user as JSON Lines, as [`Users::export_json_lines`] does.
    ///
    /// # Errors
    ///
    /// As [`export`](Self::export).
    pub fn export_json_lines(&self, writer: &mut impl Write) -> Result<Exported> {
        json_lines::write(&self.source()?, writer)
    }

    /// Writes everything of the session's user as a plain SQLite file, as [`Users::export_sqlite`] does.
    ///
    /// # Errors
    ///
    /// As [`export`](Self::export), and as [`Users::export_sqlite`].
    pub fn export_sqlite(&self, path: impl AsRef<Path>) -> Result<Exported> {
        sqlite::write(&self.source()?, path.as_ref())
    }

    fn source(&self) -> Result<Source> {
        let core = self.core();
        core.check()?;
        core.account("export", None, None)?;
        Source::of(&core.store, &core.actor(), core.scope.lane())
    }
}
