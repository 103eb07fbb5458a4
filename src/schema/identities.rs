//! Users, organizations and members in the store's own tables.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::entity::{Tenancy, time_from_micros};
use crate::error::{Error, Result};
use crate::identity::{
    Invitation, Mark, Membership, Organization, OrganizationId, Role, StoreRole, TenantKey, TenantName, User,
    UserId,
};

/// A user as it is stored.
pub(crate) struct StoredUser {
    pub(crate) key: TenantKey,
    pub(crate) mark: Mark,
    pub(crate) value: User,
}

/// Something with a key as it is stored.
pub(crate) struct Stored<T> {
    pub(crate) key: TenantKey,
    pub(crate) value: T,
}

fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    time_from_micros(row.get(column)?).ok_or_else(|| Error::corrupt("the store holds a time out of range"))
}

fn user(row: &Row<'_>) -> Result<StoredUser> {
    Ok(StoredUser {
        key: TenantKey::from_stored(row.get(0)?)?,
        mark: row.get(5)?,
        value: User {
            id: UserId::new(row.get::<_, String>(1)?)
                .map_err(|_| Error::corrupt("the store holds an invalid user id"))?,
            name: row.get(2)?,
            role: StoreRole::from_stored(&row.get::<_, String>(6)?)?,
            disabled: row.get(3)?,
            created: time(row, 4)?,
        },
    })
}

fn organization(row: &Row<'_>) -> Result<Stored<Organization>> {
    Ok(Stored {
        key: TenantKey::from_stored(row.get(0)?)?,
        value: Organization {
            id: OrganizationId::new(row.get::<_, String>(1)?)
                .map_err(|_| Error::corrupt("the store holds an invalid organization id"))?,
            name: row.get(2)?,
            disabled: row.get(3)?,
            created: time(row, 4)?,
        },
    })
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    decode: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map(decode).transpose()
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
    decode: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut decoded = Vec::new();
    while let Some(row) = rows.next()? {
        decoded.push(decode(row)?);
    }
    Ok(decoded)
}

pub(crate) fn find_user(connection: &Connection, id: &UserId) -> Result<StoredUser> {
    one(
        connection,
        "SELECT key, id, name, disabled, created, mark, role FROM _user WHERE id = ?1",
        [id.as_str()],
        user,
    )?
    .ok_or_else(|| Error::UnknownUser { user: id.to_string() })
}

pub(crate) fn find_organization(
    connection: &Connection,
    id: &OrganizationId,
) -> Result<Stored<Organization>> {
    one(
        connection,
        "SELECT key, id, name, disabled, created FROM _organization WHERE id = ?1",
        [id.as_str()],
        organization,
    )?
    .ok_or_else(|| Error::UnknownOrganization { organization: id.to_string() })
}

/// A page of users in the order of their ids.
pub(crate) fn users(connection: &Connection, after: Option<&UserId>, limit: u32) -> Result<Vec<User>> {
    let after = after.map_or("", UserId::as_str);
    let sql =
        "SELECT key, id, name, disabled, created, mark, role FROM _user WHERE id > ?1 ORDER BY id LIMIT ?2";
    all(connection, sql, params![after, limit], |row| Ok(user(row)?.value))
}

/// A page of organizations in the order of their ids.
pub(crate) fn organizations(
    connection: &Connection,
    after: Option<&OrganizationId>,
    limit: u32,
) -> Result<Vec<Organization>> {
    let after = after.map_or("", OrganizationId::as_str);
    let sql = "SELECT key, id, name, disabled, created FROM _organization WHERE id > ?1 ORDER BY id LIMIT ?2";
    all(connection, sql, params![after, limit], |row| Ok(organization(row)?.value))
}

/// A member as it is stored; also one that has left.
pub(crate) struct StoredMember {
    pub(crate) key: TenantKey,
    pub(crate) role: Role,
    pub(crate) active: bool,
}

pub(crate) fn find_member(
    connection: &Connection,
    organization: TenantKey,
    user: TenantKey,
) -> Result<Option<StoredMember>> {
    let sql = "SELECT key, role, active FROM _member WHERE organization = ?1 AND user = ?2";
    one(connection, sql, [organization.get(), user.get()], |row| {
        Ok(StoredMember {
            key: TenantKey::from_stored(row.get(0)?)?,
            role: Role::from_stored(&row.get::<_, String>(1)?)?,
            active: row.get(2)?,
        })
    })
}

/// Whether the user is now a member of the organization.
pub(crate) fn is_member(connection: &Connection, organization: TenantKey, user: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM _user AS u JOIN _member AS m ON m.organization = ?1 AND m.user = u.key WHERE u.id = ?2 AND m.active = 1";
    Ok(connection
        .prepare_cached(sql)?
        .query_row(params![organization.get(), user], |_| Ok(()))
        .optional()?
        .is_some())
}

/// A page of an organization's members in the order of their users' ids.
pub(crate) fn members(
    connection: &Connection,
    organization: TenantKey,
    after: Option<&UserId>,
    limit: u32,
) -> Result<Vec<Membership>> {
    let sql = "SELECT u.id, u.name, m.role, m.created FROM _member AS m JOIN _user AS u ON u.key = m.user \
               WHERE m.organization = ?1 AND m.active = 1 AND u.id > ?2 ORDER BY u.id LIMIT ?3";
    let after = after.map_or("", UserId::as_str);
    all(connection, sql, params![organization.get(), after, limit], |row| {
        Ok(Membership {
            user: UserId::new(row.get::<_, String>(0)?)
                .map_err(|_| Error::corrupt("the store holds an invalid user id"))?,
            name: row.get(1)?,
            role: Role::from_stored(&row.get::<_, String>(2)?)?,
            created: time(row, 3)?,
        })
    })
}

/// The organizations that a user is a member of, in the order of their ids.
pub(crate) fn memberships(connection: &Connection, user: TenantKey) -> Result<Vec<(OrganizationId, Role)>> {
    let sql = "SELECT o.id, m.role FROM _member AS m JOIN _organization AS o ON o.key = m.organization \
               WHERE m.user = ?1 AND m.active = 1 ORDER BY o.id";
    all(connection, sql, [user.get()], |row| {
        let id = OrganizationId::new(row.get::<_, String>(0)?)
            .map_err(|_| Error::corrupt("the store holds an invalid organization id"))?;
        Ok((id, Role::from_stored(&row.get::<_, String>(1)?)?))
    })
}

/// How the access to a tenant has ended, if it has: a user or an organization was disabled or erased, or a
/// membership is over. One statement, for stores that another process writes.
pub(crate) fn ended(connection: &Connection, key: TenantKey) -> Result<Option<Ending>> {
    let sql = "SELECT id IS NULL FROM _user WHERE key = ?1 AND (disabled = 1 OR id IS NULL) UNION ALL \
               SELECT id IS NULL FROM _organization WHERE key = ?1 AND (disabled = 1 OR id IS NULL) UNION ALL \
               SELECT 0 FROM _member WHERE key = ?1 AND active = 0";
    let erased = connection.prepare_cached(sql)?.query_row([key.get()], |row| row.get(0)).optional()?;
    Ok(erased.map(|erased: bool| if erased { Ending::Erased } else { Ending::Revoked }))
}

/// Why there is no access to a tenant any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A user or an organization was disabled, or a membership is over.
    Revoked,
    /// The user or the organization is not there any more.
    Erased,
}

/// A new tenant key.
pub(crate) fn create_tenant(connection: &Connection, kind: &str) -> Result<TenantKey> {
    let next: i64 =
        connection.prepare_cached("SELECT max(key) + 1 FROM _tenant")?.query_row([], |row| row.get(0))?;
    if next > TenantKey::MAX {
        return Err(Error::LimitExceeded {
            limit: "tenants",
            problem: format!("a store holds at most {} tenants", TenantKey::MAX),
        });
    }
    connection
        .prepare_cached("INSERT INTO _tenant (key, kind) VALUES (?1, ?2)")?
        .execute(params![next, kind])?;
    TenantKey::from_stored(next)
}

/// Says whose a mark is, to logs in this file.
pub(crate) fn name_actor(connection: &Connection, mark: Mark, id: &UserId) -> Result<()> {
    let sql = "INSERT INTO _actor (mark, id) VALUES (?1, ?2) ON CONFLICT (mark) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![mark, id.as_str()])?;
    Ok(())
}

pub(crate) fn create_user(
    connection: &Connection,
    key: TenantKey,
    mark: Mark,
    id: &UserId,
    now: i64,
) -> Result<()> {
    name_actor(connection, mark, id)?;
    let sql = "INSERT INTO _user (key, mark, id, name, created) VALUES (?1, ?2, ?3, '', ?4)";
    connection
        .prepare_cached(sql)?
        .execute(params![key.get(), mark, id.as_str(), now])
        .map_err(|error| exists(error, id.as_str()))?;
    Ok(())
}

pub(crate) fn create_organization(
    connection: &Connection,
    key: TenantKey,
    id: &OrganizationId,
    now: i64,
) -> Result<()> {
    let sql = "INSERT INTO _organization (key, id, name, created) VALUES (?1, ?2, '', ?3)";
    connection
        .prepare_cached(sql)?
        .execute(params![key.get(), id.as_str(), now])
        .map_err(|error| exists(error, id.as_str()))?;
    Ok(())
}

fn exists(error: rusqlite::Error, id: &str) -> Error {
    match error.sqlite_extended_error_code() {
        Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE) => Error::Exists { id: id.to_owned() },
        _ => error.into(),
    }
}

pub(crate) fn create_member(
    connection: &Connection,
    key: TenantKey,
    organization: TenantKey,
    user: TenantKey,
    role: Role,
    now: i64,
) -> Result<()> {
    let sql =
        "INSERT INTO _member (key, organization, user, role, active, created) VALUES (?1, ?2, ?3, ?4, 1, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        key.get(),
        organization.get(),
        user.get(),
        role.as_str(),
        now
    ])?;
    Ok(())
}

/// A partition learns of a tenant.
fn mirror_tenant(connection: &Connection, key: TenantKey, kind: &str) -> Result<()> {
    let sql = "INSERT INTO _tenant (key, kind) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![key.get(), kind])?;
    Ok(())
}

/// A partition learns of a user; also of one that lives elsewhere, or was erased.
pub(crate) fn mirror_user(
    connection: &Connection,
    key: TenantKey,
    mark: Mark,
    id: Option<&UserId>,
) -> Result<()> {
    mirror_tenant(connection, key, "user")?;
    let id = id.map(UserId::as_str);
    let sql = "INSERT INTO _actor (mark, id) VALUES (?1, ?2) ON CONFLICT (mark) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![mark, id])?;
    // It may know the user already, also as one who was on the way. Who was erased stays so.
    let sql = "INSERT INTO _user (key, mark, id, name, created) VALUES (?1, ?2, ?3, '', 0) \
               ON CONFLICT (key) DO UPDATE SET id = excluded.id WHERE id <> excluded.id";
    connection.prepare_cached(sql)?.execute(params![key.get(), mark, id])?;
    Ok(())
}

pub(crate) fn mirror_organization(
    connection: &Connection,
    key: TenantKey,
    id: Option<&OrganizationId>,
) -> Result<()> {
    mirror_tenant(connection, key, "organization")?;
    let sql = "INSERT INTO _organization (key, id, name, created) VALUES (?1, ?2, '', 0) \
               ON CONFLICT (key) DO UPDATE SET id = excluded.id WHERE id <> excluded.id";
    connection.prepare_cached(sql)?.execute(params![key.get(), id.map(OrganizationId::as_str)])?;
    Ok(())
}

/// A partition learns of a member, or of what became of one.
pub(crate) fn mirror_member(
    connection: &Connection,
    key: TenantKey,
    organization: TenantKey,
    user: TenantKey,
    role: Role,
    active: bool,
) -> Result<()> {
    mirror_tenant(connection, key, "member")?;
    let sql = "INSERT INTO _member (key, organization, user, role, active, created) VALUES (?1, ?2, ?3, ?4, ?5, 0) \
               ON CONFLICT (key) DO UPDATE SET role = excluded.role, active = excluded.active";
    let (organization, user) = (organization.get(), user.get());
    connection.prepare_cached(sql)?.execute(params![key.get(), organization, user, role.as_str(), active])?;
    Ok(())
}

/// A partition learns that a user is on the way, and not yet who: somebody else may come to be that one.
pub(crate) fn expect_user(connection: &Connection, key: TenantKey, mark: Mark, id: &UserId) -> Result<()> {
    mirror_tenant(connection, key, "user")?;
    name_actor(connection, mark, id)?;
    let sql = "INSERT INTO _user (key, mark, id, name, created) VALUES (?1, ?2, ?3, '', 0)";
    connection.prepare_cached(sql)?.execute(params![key.get(), mark, expected(key)])?;
    Ok(())
}

/// The same of an organization.
pub(crate) fn expect_organization(connection: &Connection, key: TenantKey) -> Result<()> {
    mirror_tenant(connection, key, "organization")?;
    let sql = "INSERT INTO _organization (key, id, name, created) VALUES (?1, ?2, '', 0)";
    connection.prepare_cached(sql)?.execute(params![key.get(), expected(key)])?;
    Ok(())
}

/// No id of anybody: those hold no control characters.
fn expected(key: TenantKey) -> String {
    format!("\u{1}{}", key.get())
}

/// The keys of an organization's members, those who have left too.
pub(crate) fn member_keys(connection: &Connection, organization: TenantKey) -> Result<Vec<TenantKey>> {
    let sql = "SELECT key FROM _member WHERE organization = ?1 ORDER BY key";
    all(connection, sql, [organization.get()], |row| TenantKey::from_stored(row.get(0)?))
}

/// What a tenant is, by its key, and its id unless it was erased.
pub(crate) enum Owner {
    User(Mark, Option<UserId>),
    Organization(Option<OrganizationId>),
}

/// The user or organization of a key.
pub(crate) fn owner(connection: &Connection, key: TenantKey) -> Result<Owner> {
    let user = one(connection, "SELECT mark, id FROM _user WHERE key = ?1", [key.get()], |row| {
        Ok(Owner::User(row.get(0)?, user_id(row, 1)?))
    })?;
    if let Some(user) = user {
        return Ok(user);
    }
    let sql = "SELECT id FROM _organization WHERE key = ?1";
    let organization = one(connection, sql, [key.get()], |row| {
        let id: Option<String> = row.get(0)?;
        let id = id.map(OrganizationId::new).transpose();
        Ok(Owner::Organization(id.map_err(|_| Error::corrupt("the store holds an invalid organization id"))?))
    })?;
    organization.ok_or_else(|| Error::corrupt("the store holds a key of no user and no organization"))
}

/// A user's id, unless the user was erased.
fn user_id(row: &Row<'_>, column: usize) -> Result<Option<UserId>> {
    let id: Option<String> = row.get(column)?;
    id.map(UserId::new).transpose().map_err(|_| Error::corrupt("the store holds an invalid user id"))
}

/// The user or organization that a tenant belongs to: of a member, the organization.
pub(crate) fn home_of(connection: &Connection, key: TenantKey) -> Result<TenantKey> {
    let sql = "SELECT organization FROM _member WHERE key = ?1";
    let organization: Option<i64> =
        connection.prepare_cached(sql)?.query_row([key.get()], |row| row.get(0)).optional()?;
    organization.map_or(Ok(key), TenantKey::from_stored)
}

/// A member, and the user's key, mark and id, unless that was erased.
pub(crate) type MemberAndUser = (StoredMember, TenantKey, Mark, Option<UserId>);

/// An organization's members as they are stored, those who have left too, with their users.
pub(crate) fn all_members(connection: &Connection, organization: TenantKey) -> Result<Vec<MemberAndUser>> {
    let sql = "SELECT m.key, m.role, m.active, u.key, u.id, u.mark FROM _member AS m JOIN _user AS u ON u.key = m.user \
               WHERE m.organization = ?1 ORDER BY m.key";
    all(connection, sql, [organization.get()], |row| {
        let member = StoredMember {
            key: TenantKey::from_stored(row.get(0)?)?,
            role: Role::from_stored(&row.get::<_, String>(1)?)?,
            active: row.get(2)?,
        };
        Ok((member, TenantKey::from_stored(row.get(3)?)?, row.get(5)?, user_id(row, 4)?))
    })
}

/// A membership of a user, with the organization; also one that is over.
pub(crate) struct StoredMembership {
    pub(crate) member: StoredMember,
    pub(crate) organization: TenantKey,
}

/// Every membership that a user has or has had.
pub(crate) fn all_memberships(connection: &Connection, user: TenantKey) -> Result<Vec<StoredMembership>> {
    let sql = "SELECT key, role, active, organization FROM _member WHERE user = ?1 ORDER BY key";
    all(connection, sql, [user.get()], |row| {
        Ok(StoredMembership {
            member: StoredMember {
                key: TenantKey::from_stored(row.get(0)?)?,
                role: Role::from_stored(&row.get::<_, String>(1)?)?,
                active: row.get(2)?,
            },
            organization: TenantKey::from_stored(row.get(3)?)?,
        })
    })
}

/// A membership, also one that is over, with all that is known of it.
pub(crate) struct WholeMember {
    pub(crate) key: TenantKey,
    pub(crate) user: UserId,
    pub(crate) role: Role,
    pub(crate) active: bool,
    pub(crate) created: i64,
}

/// An organization's members, those who have left too, in the order of their users' ids. Of those who
/// were erased nothing is left to speak of.
pub(crate) fn whole_members(connection: &Connection, organization: TenantKey) -> Result<Vec<WholeMember>> {
    let sql = "SELECT m.key, u.id, m.role, m.active, m.created FROM _member AS m JOIN _user AS u ON u.key = m.user \
               WHERE m.organization = ?1 AND u.id IS NOT NULL ORDER BY u.id";
    all(connection, sql, [organization.get()], |row| {
        Ok(WholeMember {
            key: TenantKey::from_stored(row.get(0)?)?,
            user: UserId::new(row.get::<_, String>(1)?)
                .map_err(|_| Error::corrupt("the store holds an invalid user id"))?,
            role: Role::from_stored(&row.get::<_, String>(2)?)?,
            active: row.get(3)?,
            created: row.get(4)?,
        })
    })
}

/// Logs anywhere may name whoever has these marks.
pub(crate) fn are_named_anywhere<'m>(
    connection: &Connection,
    marks: impl Iterator<Item = &'m Mark>,
) -> Result<()> {
    let mut statement = connection.prepare_cached("UPDATE _user SET was_admin = 1 WHERE mark = ?1")?;
    for mark in marks {
        statement.execute([mark])?;
    }
    Ok(())
}

/// Whether a user is a store admin or has been one, so that logs anywhere may name it.
pub(crate) fn was_admin(connection: &Connection, key: TenantKey) -> Result<bool> {
    let sql = "SELECT was_admin FROM _user WHERE key = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([key.get()], |row| row.get(0))?)
}

/// A user's id and name go, the memberships are over, and no invitation is for whoever has the id next. The mark
/// stays, and tells nothing of whose it was; the file notes that also of one that it has not met, since a log that is
/// on its way there may name it.
pub(crate) fn forget_user(connection: &Connection, key: TenantKey, mark: Mark) -> Result<()> {
    let sql = "DELETE FROM _invitation WHERE user = (SELECT id FROM _user WHERE key = ?1)";
    connection.prepare_cached(sql)?.execute([key.get()])?;
    let sql = "UPDATE _user SET id = NULL, name = '', role = 'user' WHERE key = ?1";
    connection.prepare_cached(sql)?.execute([key.get()])?;
    forget_marks(connection, &[mark])?;
    connection.prepare_cached("UPDATE _member SET active = 0 WHERE user = ?1")?.execute([key.get()])?;
    Ok(())
}

/// The marks by which logs that came from other stores name the user of a mark.
pub(crate) fn other_marks(connection: &Connection, mark: Mark) -> Result<Vec<Mark>> {
    let sql = "SELECT o.mark FROM _actor AS a JOIN _actor AS o ON o.id = a.id AND o.mark <> a.mark WHERE a.mark = ?1";
    all(connection, sql, [mark], |row| Ok(row.get(0)?))
}

/// Nobody knows any more whose these were.
pub(crate) fn forget_marks(connection: &Connection, marks: &[Mark]) -> Result<()> {
    let sql = "INSERT INTO _actor (mark, id) VALUES (?1, NULL) ON CONFLICT (mark) DO UPDATE SET id = NULL";
    for mark in marks {
        connection.prepare_cached(sql)?.execute([mark])?;
    }
    Ok(())
}

/// An organization's id and name go, its invitations too, and its memberships are over.
pub(crate) fn forget_organization(connection: &Connection, key: TenantKey) -> Result<()> {
    connection.prepare_cached("DELETE FROM _invitation WHERE organization = ?1")?.execute([key.get()])?;
    let sql = "UPDATE _organization SET id = NULL, name = '' WHERE key = ?1";
    connection.prepare_cached(sql)?.execute([key.get()])?;
    connection
        .prepare_cached("UPDATE _member SET active = 0 WHERE organization = ?1")?
        .execute([key.get()])?;
    Ok(())
}

pub(crate) fn update_member(connection: &Connection, key: TenantKey, role: Role, active: bool) -> Result<()> {
    let sql = "UPDATE _member SET role = ?2, active = ?3 WHERE key = ?1";
    connection.prepare_cached(sql)?.execute(params![key.get(), role.as_str(), active])?;
    Ok(())
}

pub(crate) fn rename_user(connection: &Connection, key: TenantKey, name: &str) -> Result<()> {
    connection
        .prepare_cached("UPDATE _user SET name = ?2 WHERE key = ?1")?
        .execute(params![key.get(), name])?;
    Ok(())
}

pub(crate) fn rename_organization(connection: &Connection, key: TenantKey, name: &str) -> Result<()> {
    connection
        .prepare_cached("UPDATE _organization SET name = ?2 WHERE key = ?1")?
        .execute(params![key.get(), name])?;
    Ok(())
}

pub(crate) fn set_user_role(connection: &Connection, key: TenantKey, role: StoreRole) -> Result<()> {
    connection
        .prepare_cached("UPDATE _user SET role = ?2, was_admin = was_admin OR ?2 = 'admin' WHERE key = ?1")?
        .execute(params![key.get(), role.as_str()])?;
    Ok(())
}

pub(crate) fn disable_user(connection: &Connection, key: TenantKey, disabled: bool) -> Result<()> {
    connection
        .prepare_cached("UPDATE _user SET disabled = ?2 WHERE key = ?1")?
        .execute(params![key.get(), disabled])?;
    Ok(())
}

pub(crate) fn disable_organization(connection: &Connection, key: TenantKey, disabled: bool) -> Result<()> {
    connection
        .prepare_cached("UPDATE _organization SET disabled = ?2 WHERE key = ?1")?
        .execute(params![key.get(), disabled])?;
    Ok(())
}

/// The owner of rows of one tenancy.
pub(crate) struct Owning {
    pub(crate) name: TenantName,
    pub(crate) key: TenantKey,
    /// A member's.
    pub(crate) organization: Option<TenantKey>,
}

/// The owner of a name; also a member who has left.
pub(crate) fn owning(connection: &Connection, name: &TenantName) -> Result<Owning> {
    let (key, organization) = match name {
        TenantName::User(user) => (find_user(connection, user)?.key, None),
        TenantName::Organization(organization) => (find_organization(connection, organization)?.key, None),
        TenantName::Member { organization, user } => {
            let organization_key = find_organization(connection, organization)?.key;
            let user_key = find_user(connection, user)?.key;
            let member = find_member(connection, organization_key, user_key)?.ok_or_else(|| {
                Error::NotMember { user: user.to_string(), organization: organization.to_string() }
            })?;
            (member.key, Some(organization_key))
        }
    };
    Ok(Owning { name: name.clone(), key, organization })
}

/// What an owner of rows is called; none of the reference records.
pub(crate) fn name_of(connection: &Connection, key: TenantKey) -> Result<Option<TenantName>> {
    let sql = "SELECT u.id, NULL FROM _user AS u WHERE u.key = ?1 UNION ALL \
               SELECT NULL, o.id FROM _organization AS o WHERE o.key = ?1 UNION ALL \
               SELECT u.id, o.id FROM _member AS m JOIN _organization AS o ON o.key = m.organization \
               JOIN _user AS u ON u.key = m.user WHERE m.key = ?1";
    let found = one(connection, sql, [key.get()], |row| {
        let user = row.get::<_, Option<String>>(0)?.map(UserId::new).transpose()?;
        let organization = row.get::<_, Option<String>>(1)?.map(OrganizationId::new).transpose()?;
        Ok(match (user, organization) {
            (Some(user), Some(organization)) => Some(TenantName::Member { organization, user }),
            (user, organization) => user.map(TenantName::User).or(organization.map(TenantName::Organization)),
        })
    })?;
    Ok(found.flatten())
}

/// A page of the owners of a tenancy's rows, in the order of their names.
pub(crate) fn owners(
    connection: &Connection,
    tenancy: Tenancy,
    after: Option<&TenantName>,
    limit: u32,
) -> Result<Vec<Owning>> {
    let (first, second) = match after {
        None => ("", ""),
        Some(TenantName::User(user)) => (user.as_str(), ""),
        Some(TenantName::Organization(organization)) => (organization.as_str(), ""),
        Some(TenantName::Member { organization, user }) => (organization.as_str(), user.as_str()),
    };
    let sql = match tenancy {
        Tenancy::User => "SELECT key, id, '', NULL FROM _user WHERE id > ?1 AND ?2 = '' ORDER BY id LIMIT ?3",
        Tenancy::Organization => {
            "SELECT key, id, '', NULL FROM _organization WHERE id > ?1 AND ?2 = '' ORDER BY id LIMIT ?3"
        }
        Tenancy::Member => {
            "SELECT m.key, o.id, u.id, o.key FROM _member AS m JOIN _organization AS o ON o.key = m.organization \
             JOIN _user AS u ON u.key = m.user WHERE (o.id, u.id) > (?1, ?2) ORDER BY o.id, u.id LIMIT ?3"
        }
        Tenancy::Reference => return Ok(Vec::new()),
    };
    all(connection, sql, params![first, second, limit], |row| {
        let damaged = |_| Error::corrupt("the store holds an invalid id");
        let (id, user): (String, String) = (row.get(1)?, row.get(2)?);
        let name = match tenancy {
            Tenancy::User => TenantName::User(UserId::new(id).map_err(damaged)?),
            Tenancy::Organization | Tenancy::Reference => {
                TenantName::Organization(OrganizationId::new(id).map_err(damaged)?)
            }
            Tenancy::Member => TenantName::Member {
                organization: OrganizationId::new(id).map_err(damaged)?,
                user: UserId::new(user).map_err(damaged)?,
            },
        };
        let organization = row.get::<_, Option<i64>>(3)?.map(TenantKey::from_stored).transpose()?;
        Ok(Owning { name, key: TenantKey::from_stored(row.get(0)?)?, organization })
    })
}

/// An invitation that is open.
pub(crate) struct StoredInvitation {
    pub(crate) role: Role,
    pub(crate) expires: Option<Timestamp>,
}

pub(crate) fn invite(
    connection: &Connection,
    organization: TenantKey,
    user: &UserId,
    role: Role,
    created: Timestamp,
    expires: Option<Timestamp>,
) -> Result<()> {
    let sql = "INSERT INTO _invitation (organization, user, role, created, expires) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (organization, user) DO UPDATE SET role = ?3, created = ?4, expires = ?5";
    connection.prepare_cached(sql)?.execute(params![
        organization.get(),
        user.as_str(),
        role.as_str(),
        created.as_microsecond(),
        expires.map(Timestamp::as_microsecond)
    ])?;
    Ok(())
}

/// A time that no clock reaches must not read as none, which would be for ever.
fn expiry(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    let stored: Option<i64> = row.get(column)?;
    stored.map(|_| time(row, column)).transpose()
}

pub(crate) fn find_invitation(
    connection: &Connection,
    organization: TenantKey,
    user: &UserId,
) -> Result<Option<StoredInvitation>> {
    let sql = "SELECT role, expires FROM _invitation WHERE organization = ?1 AND user = ?2";
    one(connection, sql, params![organization.get(), user.as_str()], |row| {
        Ok(StoredInvitation { role: Role::from_stored(&row.get::<_, String>(0)?)?, expires: expiry(row, 1)? })
    })
}

pub(crate) fn remove_invitation(
    connection: &Connection,
    organization: TenantKey,
    user: &UserId,
) -> Result<()> {
    let sql = "DELETE FROM _invitation WHERE organization = ?1 AND user = ?2";
    connection.prepare_cached(sql)?.execute(params![organization.get(), user.as_str()])?;
    Ok(())
}

/// How many admins an organization has.
pub(crate) fn count_admins(connection: &Connection, organization: TenantKey) -> Result<i64> {
    let sql = "SELECT count(*) FROM _member WHERE organization = ?1 AND active = 1 AND role = 'admin'";
    Ok(connection.prepare_cached(sql)?.query_row([organization.get()], |row| row.get(0))?)
}

/// How many users an organization has invited beside this one.
pub(crate) fn count_other_invitations(
    connection: &Connection,
    organization: TenantKey,
    user: &UserId,
) -> Result<i64> {
    let sql = "SELECT count(*) FROM _invitation WHERE organization = ?1 AND user <> ?2";
    let count = connection
        .prepare_cached(sql)?
        .query_row(params![organization.get(), user.as_str()], |row| row.get(0))?;
    Ok(count)
}

/// Takes away an organization's invitations that nobody can accept any more; how many there were.
pub(crate) fn remove_expired_invitations(
    connection: &Connection,
    organization: TenantKey,
    now: Timestamp,
) -> Result<usize> {
    let sql = "DELETE FROM _invitation WHERE organization = ?1 AND expires <= ?2";
    Ok(connection.prepare_cached(sql)?.execute(params![organization.get(), now.as_microsecond()])?)
}

/// Invitations that somebody may still accept, of an organization or to a user, in the order of the
/// other side's ids.
pub(crate) fn invitations(
    connection: &Connection,
    of: Result<TenantKey, &UserId>,
    now: Timestamp,
    after: &str,
    limit: u32,
) -> Result<Vec<Invitation>> {
    let (side, other) = if of.is_ok() { ("i.organization", "i.user") } else { ("i.user", "o.id") };
    let sql = format!(
        "SELECT o.id, o.name, i.user, i.role, i.created, i.expires FROM _invitation AS i \
         JOIN _organization AS o ON o.key = i.organization \
         WHERE {side} = ?1 AND {other} > ?2 AND (i.expires IS NULL OR i.expires > ?3) AND o.disabled = 0 \
         ORDER BY {other} LIMIT ?4"
    );
    let of: rusqlite::types::Value = match of {
        Ok(organization) => organization.get().into(),
        Err(user) => user.to_string().into(),
    };
    all(connection, &sql, params![of, after, now.as_microsecond(), limit], |row| {
        let damaged = |_| Error::corrupt("the store holds an invalid id");
        Ok(Invitation {
            organization: OrganizationId::new(row.get::<_, String>(0)?).map_err(damaged)?,
            organization_name: row.get(1)?,
            user: UserId::new(row.get::<_, String>(2)?).map_err(damaged)?,
            role: Role::from_stored(&row.get::<_, String>(3)?)?,
            created: time(row, 4)?,
            expires: expiry(row, 5)?,
        })
    })
}
