//! Users, organizations and their members.

use serde_json::json;
use tenantry::{Error, Membership, Organization, Role, Store, User, UserId};

use crate::cli::{Cli, OrgsAction, UsersAction};
use crate::failure::{Failure, Outcome};
use crate::output::{Style, Terminal, plural};
use crate::place::{Access, open};

const PAGE: u32 = 500;

pub(crate) fn all_users(store: &Store) -> Outcome<Vec<User>> {
    let mut users: Vec<User> = Vec::new();
    loop {
        let page = store.users().list(users.last().map(|user| &user.id), PAGE)?;
        if page.is_empty() {
            return Ok(users);
        }
        users.extend(page);
    }
}

fn all_organizations(store: &Store) -> Outcome<Vec<Organization>> {
    let mut all: Vec<Organization> = Vec::new();
    loop {
        let page = store.organizations().list(all.last().map(|one| &one.id), PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn all_members(store: &Store, organization: &Organization) -> Outcome<Vec<Membership>> {
    let mut members: Vec<Membership> = Vec::new();
    loop {
        let page =
            store.organizations().members(organization, members.last().map(|member| &member.user), PAGE)?;
        if page.is_empty() {
            return Ok(members);
        }
        members.extend(page);
    }
}

pub(crate) fn users(cli: &Cli, action: Option<&UsersAction>, out: &mut Terminal) -> Outcome {
    if let Some(UsersAction::Add { id, name }) = action {
        let store = open(cli, Access::Create)?;
        store.users().create(id)?;
        if let Some(name) = name {
            store.users().rename(id, name)?;
        }
        if out.json {
            out.json(&json!({ "user": id, "name": name }));
        } else {
            out.line(format!("Added the user {id}; work as them with --as {id} or TODO_USER={id}"));
        }
        return Ok(());
    }
    let store = open(cli, Access::Read)?;
    let users = all_users(&store)?;
    let mut listed = Vec::new();
    for user in users {
        let organizations = store.users().organizations(&user)?;
        listed.push((user, organizations));
    }
    if out.json {
        let users: Vec<_> = listed
            .iter()
            .map(|(user, organizations)| {
                let roles: serde_json::Map<_, _> =
                    organizations.iter().map(|(id, role)| (id.to_string(), json!(role))).collect();
                json!({
                    "id": user.id, "name": user.name, "disabled": user.disabled, "created": user.created,
                    "organizations": roles,
                })
            })
            .collect();
        out.json(&json!({ "users": users }));
        return Ok(());
    }
    if listed.is_empty() {
        out.line("There are no users yet; `todo users add NAME` adds one.");
        return Ok(());
    }
    let rows = listed
        .iter()
        .map(|(user, organizations)| {
            let organizations: Vec<String> =
                organizations.iter().map(|(id, role)| with_role(id.as_str(), *role)).collect();
            vec![
                out.cell(user.id.as_str(), None),
                out.cell(&user.name, None),
                out.cell(organizations.join(", "), None),
                out.cell(if user.disabled { "disabled" } else { "" }, Some(Style::Red)),
            ]
        })
        .collect();
    out.table(&["User", "Name", "Organizations", ""], rows);
    let line = out.style(Style::Dim, plural(listed.len() as u64, "user"));
    out.line(line);
    Ok(())
}

fn with_role(id: &str, role: Role) -> String {
    match role {
        Role::Admin => format!("{id} (admin)"),
        Role::Member => id.to_owned(),
    }
}

pub(crate) fn organizations(cli: &Cli, action: Option<&OrgsAction>, out: &mut Terminal) -> Outcome {
    let Some(action) = action else { return list(cli, out) };
    let store = open(cli, Access::Write)?;
    let organizations = store.organizations();
    let (id, done) = match action {
        OrgsAction::Add { id, name } => {
            let user = acting(cli)?;
            store.users().get(user)?;
            organizations.create(id)?;
            if let Some(name) = name {
                organizations.rename(id, name)?;
            }
            organizations.add_member(id, user, Role::Admin)?;
            (id, format!("Added the organization {id}; {user} is its admin"))
        }
        OrgsAction::Join { id, member, admin } => {
            must_manage(cli, &store, id)?;
            let role = if *admin { Role::Admin } else { Role::Member };
            organizations.add_member(id, member, role)?;
            (id, format!("{member} is a member of {id} now"))
        }
        OrgsAction::Leave { id, member } => {
            if acting(cli)? != member {
                must_manage(cli, &store, id)?;
            }
            organizations.remove_member(id, member)?;
            (id, format!("{member} is no longer a member of {id}"))
        }
    };
    if out.json {
        out.json(&json!({ "organization": id, "done": done }));
    } else {
        out.line(done);
    }
    Ok(())
}

fn acting(cli: &Cli) -> Outcome<&UserId> {
    cli.user.as_ref().ok_or_else(|| Failure::usage("who are you? Add --as USER or set TODO_USER"))
}

/// The store leaves it to the application who may manage members; here it is the admins.
fn must_manage(cli: &Cli, store: &Store, organization: &tenantry::OrganizationId) -> Outcome {
    let session = store.session(acting(cli)?)?.in_organization(organization)?;
    match session.role()? {
        Role::Admin => Ok(()),
        Role::Member => {
            Err(Failure::refused(format!("only an admin of {organization} can change who its members are")))
        }
    }
}

fn list(cli: &Cli, out: &mut Terminal) -> Outcome {
    let store = open(cli, Access::Read)?;
    let mut listed = Vec::new();
    for organization in all_organizations(&store)? {
        let members = all_members(&store, &organization)?;
        listed.push((organization, members));
    }
    if out.json {
        let all: Vec<_> = listed
            .iter()
            .map(|(organization, members)| {
                let roles: serde_json::Map<_, _> =
                    members.iter().map(|member| (member.user.to_string(), json!(member.role))).collect();
                json!({ "id": organization.id, "name": organization.name, "members": roles })
            })
            .collect();
        out.json(&json!({ "organizations": all }));
        return Ok(());
    }
    if listed.is_empty() {
        out.line("There are no organizations yet; `todo orgs add NAME` adds one.");
        return Ok(());
    }
    let rows = listed
        .iter()
        .map(|(organization, members)| {
            let members: Vec<String> =
                members.iter().map(|member| with_role(member.user.as_str(), member.role)).collect();
            vec![
                out.cell(organization.id.as_str(), None),
                out.cell(&organization.name, None),
                out.cell(members.join(", "), None),
            ]
        })
        .collect();
    out.table(&["Organization", "Name", "Members"], rows);
    Ok(())
}

/// Makes a user if there is none, and gives them a name if they have none.
pub(crate) fn ensure_user(store: &Store, id: &UserId, name: &str) -> tenantry::Result<bool> {
    match store.users().create(id) {
        Ok(_) => {
            if !name.is_empty() {
                store.users().rename(id, name)?;
            }
            Ok(true)
        }
        Err(Error::Exists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
