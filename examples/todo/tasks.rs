//! To-dos, one's own and shared: add, list, show, edit, finish, delete, count.

use comfy_table::Cell;
use serde_json::{Value as Json, json};
use tenantry::tenancy::{ReadIn, Scope, WrittenIn};
use tenantry::{
    Cursor, Id, OrganizationSession, Patch, Query, Record, Session, TenantSession, Timestamp, UserId,
};

use crate::cli::{Add, Edit, List, Sort, StatusFilter};
use crate::failure::{Failure, Outcome};
use crate::model::{
    self, Draft, Named, Note, PersonalProject, Priority, PrivateNote, Project, SharedTask, Status, Task, Todo,
};
use crate::output::{self, Style, Terminal, plural, short_id};
use crate::place::{IdPart, find};

/// A to-do, and the project that it belongs to.
type Row<T> = (Record<T>, Option<Record<<T as Todo>::Project>>);

pub(crate) fn add<S, T>(session: &Session<S>, add: &Add, out: &mut Terminal) -> Outcome
where
    S: Scope,
    T::Tenancy: WrittenIn<S>,
    T: Todo,
{
    if add.assign.is_some() && !T::SHARED {
        return Err(only_shared("--assign"));
    }
    let draft = Draft {
        title: add.title.clone(),
        due: add.due,
        tags: add.tags.clone(),
        priority: add.priority,
        assignee: add.assign.clone(),
        ..Draft::default()
    };
    // The project and the to-do, or neither.
    let id = session.transaction(|tx| {
        let project = add.project.as_deref().map(|name| project_named::<S, T>(tx, name)).transpose()?;
        tx.insert(&T::new(draft, project))
    })?;
    changed(session, id, "Added", out)
}

fn only_shared(option: &str) -> Failure {
    Failure::usage(format!("{option} needs --org ORG: your own to-dos are yours alone"))
}

/// The project of this name, made if there is none.
fn project_named<S, T>(verbs: &tenantry::Verbs<'_, S>, name: &str) -> tenantry::Result<Id<T::Project>>
where
    S: Scope,
    T::Tenancy: WrittenIn<S>,
    T: Todo,
{
    let found = verbs.query::<T::Project>().filter(T::Project::NAME_COLUMN.eq(name)).first()?;
    match found {
        Some(project) => Ok(project.id),
        None => verbs.insert(&T::Project::named(name)),
    }
}

/// Says what became of a to-do.
fn changed<S, T>(session: &Session<S>, id: Id<T>, what: &str, out: &mut Terminal) -> Outcome
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let record = session.get(id)?;
    if out.json {
        let project = project_of(session, &record)?;
        out.json(&task_json(&record, project.as_ref()));
    } else {
        let id = out.style(Style::Bold, short_id(id.uuid()));
        out.line(format!("{what} {id}  {}", output::printable(&record.draft().title)));
    }
    Ok(())
}

fn project_of<S, T>(session: &Session<S>, record: &Record<T>) -> Outcome<Option<Record<T::Project>>>
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    Ok(record.project().map(|id| session.get(id)).transpose()?)
}

fn task_json<T: Todo>(record: &Record<T>, project: Option<&Record<T::Project>>) -> Json {
    let draft = record.draft();
    let mut json = json!({
        "id": record.id,
        "title": draft.title,
        "status": draft.status,
        "due": draft.due,
        "tags": draft.tags,
        "priority": draft.priority,
        "project": project.map(|project| project.name()),
        "source": draft.source,
        "created": record.created,
        "updated": record.updated,
        "version": record.version,
    });
    if T::SHARED {
        json["assignee"] = json!(draft.assignee);
        json["author"] = json!(record.author);
    }
    json
}

pub(crate) fn list<S, T>(session: &Session<S>, user: &UserId, list: &List, out: &mut Terminal) -> Outcome
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let mut query = session.query::<T>();
    match list.status {
        StatusFilter::Open => query = query.filter(T::STATUS.eq(Status::Open)),
        StatusFilter::Done => query = query.filter(T::STATUS.eq(Status::Done)),
        StatusFilter::All => {}
    }
    for tag in &list.tags {
        query = query.filter(T::TAGS.contains(model::tag_pattern(tag)));
    }
    if let Some(text) = &list.search {
        query = query.filter(T::TITLE.contains_ignore_ascii_case(text));
    }
    if let Some(name) = &list.project {
        let project =
            session.query::<T::Project>().filter(T::Project::NAME_COLUMN.eq(name.as_str())).first()?;
        let project = project.ok_or_else(|| no_project::<S, T>(session, name))?;
        query = query.filter(T::PROJECT.eq(project.id));
    }
    match T::ASSIGNEE {
        Some(assignee) if list.mine => query = query.filter(assignee.eq(user.clone())),
        None if list.mine => return Err(only_shared("--mine")),
        _ => {}
    }
    if list.authored {
        if !T::SHARED {
            return Err(only_shared("--authored"));
        }
        query = query.mine();
    }
    let total = query.count()?;
    let (rows, next) = page(query, list)?;
    if out.json {
        let tasks: Vec<Json> = rows.iter().map(|(task, project)| task_json(task, project.as_ref())).collect();
        out.json(&json!({ "tasks": tasks, "total": total, "next": next }));
        return Ok(());
    }
    print_list(&rows, list, total, next.as_deref(), out);
    Ok(())
}

fn no_project<S, T>(session: &Session<S>, name: &str) -> Failure
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let known = session.query::<T::Project>().order_by(T::Project::NAME_COLUMN.asc()).limit(20).list();
    let known: Vec<String> =
        known.unwrap_or_default().iter().map(|project| project.name().to_owned()).collect();
    let known = if known.is_empty() {
        "there are none yet".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Failure::refused(format!("there is no project {name:?}; {known}"))
}

/// Where the to-dos with a due date are at their end and those without one begin: the library
/// sorts records without a value first, and here nobody wants them there, so they are pages of
/// their own that follow.
const UNDATED: &str = "undated";

fn page<S, T>(query: Query<'_, S, T>, list: &List) -> Outcome<(Vec<Row<T>>, Option<String>)>
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let cursor = list.page.as_deref();
    let fetch = |query: Query<'_, S, T>, cursor: Option<&str>, size: u32| -> Outcome<_> {
        let query = match cursor {
            Some(cursor) => {
                let cursor: Cursor = cursor.parse()?;
                query.after(&cursor)
            }
            None => query,
        };
        let page = query.with(T::PROJECT).page(size)?;
        Ok((page.records, page.next.map(|next| next.to_string())))
    };
    match list.sort {
        Sort::Created => fetch(query.order_by(Record::<T>::CREATED.desc()), cursor, list.limit),
        Sort::Title => fetch(query.order_by(T::TITLE.asc()), cursor, list.limit),
        Sort::Due => {
            let undated = query.clone().filter(T::DUE.is_none());
            let marked = |next: Option<String>| next.map(|next| format!("{UNDATED}{next}"));
            if let Some(rest) = cursor.and_then(|cursor| cursor.strip_prefix(UNDATED)) {
                let (rows, next) = fetch(undated, Some(rest).filter(|rest| !rest.is_empty()), list.limit)?;
                return Ok((rows, marked(next)));
            }
            let dated = query.filter(T::DUE.is_some()).order_by(T::DUE.asc());
            let (mut rows, next) = fetch(dated, cursor, list.limit)?;
            if next.is_some() {
                return Ok((rows, next));
            }
            let room = list.limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
            if room == 0 {
                let more = undated.exists()?;
                return Ok((rows, more.then(|| UNDATED.to_owned())));
            }
            let (more, next) = fetch(undated, None, room)?;
            rows.extend(more);
            Ok((rows, marked(next)))
        }
    }
}

fn print_list<T: Todo>(rows: &[Row<T>], list: &List, total: u64, next: Option<&str>, out: &mut Terminal) {
    if rows.is_empty() {
        out.line(if total > 0 {
            "This page is empty: the list ended before it."
        } else {
            "Nothing to show."
        });
        return;
    }
    let now = Timestamp::now();
    let today = crate::cli::due("today").unwrap_or(now);
    let cells = rows
        .iter()
        .map(|(record, project)| {
            let draft = record.draft();
            let done = draft.status == Status::Done;
            let dim = done.then_some(Style::Dim);
            let high = draft.priority == Priority::High && !done;
            vec![
                out.cell(short_id(record.id.uuid()), Some(Style::Dim)),
                out.cell(
                    if done {
                        "✓"
                    } else if high {
                        "!"
                    } else {
                        ""
                    },
                    Some(if high { Style::Red } else { Style::Green }),
                ),
                out.cell(output::shorten(&draft.title, 72), dim),
                due_cell(&draft, now, today, out),
                out.cell(project.as_ref().map_or("", |project| project.name()), dim),
                out.cell(draft.tags.join(", "), Some(Style::Dim)),
                out.cell(draft.assignee.as_ref().map_or("", |user| user.as_str()), dim),
            ]
        })
        .collect();
    out.table(&["Id", "", "Title", "Due", "Project", "Tags", "For"], cells);
    let shown = rows.len() as u64;
    let count = if shown == total {
        plural(total, "to-do")
    } else {
        format!("{shown} of {}", plural(total, "to-do"))
    };
    let line = match (next, list.page.is_some()) {
        (Some(next), _) => format!("{count}; for more add --page {next}"),
        (None, true) => format!("{count}; the last page"),
        (None, false) => count,
    };
    let line = out.style(Style::Dim, line);
    out.line(line);
}

fn due_cell(draft: &Draft, now: Timestamp, today: Timestamp, out: &Terminal) -> Cell {
    let Some(due) = draft.due else { return out.cell("", None) };
    let open = draft.status == Status::Open;
    let text = output::due(due);
    let overdue = open && due < if text.contains(' ') { now } else { today };
    out.cell(
        text,
        match (overdue, open) {
            (true, _) => Some(Style::Red),
            (false, true) => None,
            (false, false) => Some(Style::Dim),
        },
    )
}

/// Shows the to-do that an id names, if there is one.
pub(crate) fn show<S, T>(session: &Session<S>, part: &IdPart, out: &mut Terminal) -> Outcome<Option<Id<T>>>
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let Some(record) = find::<S, T>(session, part)? else { return Ok(None) };
    let project = project_of(session, &record)?;
    if out.json {
        out.json(&task_json(&record, project.as_ref()));
        return Ok(Some(record.id));
    }
    let draft = record.draft();
    let due = draft.due.map(output::due).unwrap_or_default();
    let updated = match record.version {
        1 => String::new(),
        version => format!("{} ({})", output::moment(record.updated), plural(version - 1, "change")),
    };
    let fields = [
        ("Title", draft.title),
        ("Status", draft.status.as_str().to_owned()),
        ("Due", due),
        ("Priority", draft.priority.as_str().to_owned()),
        ("Project", project.map(|project| project.name().to_owned()).unwrap_or_default()),
        ("Tags", draft.tags.join(", ")),
        ("Assigned to", draft.assignee.map(String::from).unwrap_or_default()),
        ("Written by", record.author.clone().map(String::from).unwrap_or_default()),
        ("Created", output::moment(record.created)),
        ("Updated", updated),
        ("Imported from", draft.source.unwrap_or_default()),
        ("Id", record.id.to_string()),
    ];
    print_fields(fields, out);
    Ok(Some(record.id))
}

pub(crate) fn print_fields<const N: usize>(fields: [(&str, String); N], out: &mut Terminal) {
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let name = out.style(Style::Bold, format!("{name:<14}"));
        out.line(format!("{name} {}", output::printable(value)));
    }
}

pub(crate) fn edit<S, T>(session: &Session<S>, edit: &Edit, out: &mut Terminal) -> Outcome
where
    S: Scope,
    T::Tenancy: WrittenIn<S>,
    T: Todo,
{
    if (edit.assign.is_some() || edit.no_assign) && !T::SHARED {
        return Err(only_shared("--assign"));
    }
    let part = IdPart::parse(&edit.id)?;
    let record = find::<S, T>(session, &part)?.ok_or_else(|| part.not_found("to-do"))?;
    let before = record.draft();
    let mut patches: Vec<Patch<T>> = Vec::new();
    patches.extend(edit.title.as_ref().map(|title| T::TITLE.set(title.as_str())));
    patches.extend(edit.status.map(|status| T::STATUS.set(status)));
    patches.extend(edit.due.map(|due| T::DUE.set(due)));
    patches.extend(edit.no_due.then(|| T::DUE.clear()));
    patches.extend(edit.priority.map(|priority| T::PRIORITY.set(priority)));
    patches.extend(edit.no_project.then(|| T::PROJECT.clear()));
    if !edit.tags.is_empty() || !edit.untags.is_empty() {
        let mut tags = before.tags;
        tags.retain(|tag| !edit.untags.contains(tag));
        for tag in &edit.tags {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        patches.push(T::TAGS.set(model::join_tags(&tags)));
    }
    if let Some(assignee) = T::ASSIGNEE {
        patches.extend(edit.assign.as_ref().map(|user| assignee.set(user.clone())));
        patches.extend(edit.no_assign.then(|| assignee.clear()));
    }
    if patches.is_empty() && edit.project.is_none() {
        return Err(Failure::usage("nothing to change; `todo edit --help` lists what can be"));
    }
    session.transaction(|tx| {
        if let Some(name) = &edit.project {
            patches.push(T::PROJECT.set(project_named::<S, T>(tx, name)?));
        }
        match patches.into_iter().reduce(Patch::and) {
            // `&record` names the version that was read: a change in between is not overwritten.
            Some(patch) => tx.patch(&record, patch).map(drop),
            None => Ok(()),
        }
    })?;
    changed(session, record.id, "Changed", out)
}

fn find_all<S, T>(session: &Session<S>, ids: &[String]) -> Outcome<Vec<Record<T>>>
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let mut records: Vec<Record<T>> = Vec::new();
    for id in ids {
        let part = IdPart::parse(id)?;
        let record = find::<S, T>(session, &part)?.ok_or_else(|| part.not_found("to-do"))?;
        if records.iter().all(|known| known.id != record.id) {
            records.push(record);
        }
    }
    Ok(records)
}

pub(crate) fn done<S, T>(session: &Session<S>, ids: &[String], out: &mut Terminal) -> Outcome
where
    S: Scope,
    T::Tenancy: WrittenIn<S>,
    T: Todo,
{
    let records = find_all::<S, T>(session, ids)?;
    // All or none.
    session.transaction(|tx| {
        for record in records.iter().filter(|record| record.draft().status != Status::Done) {
            tx.patch(record, T::STATUS.set(Status::Done))?;
        }
        Ok(())
    })?;
    let mut tasks = Vec::new();
    for record in &records {
        if out.json {
            tasks.push(task_json(&session.get(record.id)?, project_of(session, record)?.as_ref()));
            continue;
        }
        let draft = record.draft();
        let mark = out.style(Style::Green, "✓");
        let before = if draft.status == Status::Done { " (was done already)" } else { "" };
        let title = output::printable(&draft.title);
        out.line(format!("{mark} {}  {title}{before}", short_id(record.id.uuid())));
    }
    if out.json {
        out.json(&json!({ "done": tasks }));
    }
    Ok(())
}

pub(crate) fn remove<S, T>(session: &Session<S>, ids: &[String], out: &mut Terminal) -> Outcome
where
    S: Scope,
    T::Tenancy: WrittenIn<S>,
    T: Todo,
{
    let records = find_all::<S, T>(session, ids)?;
    session.transaction(|tx| records.iter().try_for_each(|record| tx.delete(record)))?;
    if out.json {
        out.json(&json!({ "deleted": records.iter().map(|record| record.id).collect::<Vec<_>>() }));
        return Ok(());
    }
    for record in &records {
        let title = output::printable(&record.draft().title);
        out.line(format!("Deleted {}  {title}", short_id(record.id.uuid())));
    }
    Ok(())
}

/// How many are open, done and overdue.
fn numbers<S, T>(session: &Session<S>) -> Outcome<[u64; 4]>
where
    S: Scope,
    T::Tenancy: ReadIn<S>,
    T: Todo,
{
    let groups = session.query::<T>().group_count(T::STATUS)?;
    let of = |status| groups.iter().find(|(one, _)| *one == status).map_or(0, |(_, count)| *count);
    let today = crate::cli::due("today").map_err(Failure::usage)?;
    let overdue = session.query::<T>().filter(T::STATUS.eq(Status::Open).and(T::DUE.lt(today))).count()?;
    Ok([session.count::<T>()?, of(Status::Open), of(Status::Done), overdue])
}

pub(crate) fn count_own(session: &TenantSession, out: &mut Terminal) -> Outcome {
    let [all, open, done, overdue] = numbers::<_, Task>(session)?;
    let notes = session.count::<Note>()?;
    let score = session.query::<Note>().sum(Note::SCORE)?;
    let projects = session.count::<PersonalProject>()?;
    if out.json {
        out.json(&json!({
            "user": session.user(),
            "tasks": { "all": all, "open": open, "done": done, "overdue": overdue },
            "projects": projects, "notes": notes, "score": score,
        }));
        return Ok(());
    }
    let rows = vec![
        ("To-dos", all),
        ("  open", open),
        ("  overdue", overdue),
        ("  done", done),
        ("Projects", projects),
        ("Notes", notes),
    ];
    print_counts(session.user().as_str(), rows, out);
    Ok(())
}

pub(crate) fn count_shared(session: &OrganizationSession, out: &mut Terminal) -> Outcome {
    let [all, open, done, overdue] = numbers::<_, SharedTask>(session)?;
    let mine = session
        .query::<SharedTask>()
        .filter(SharedTask::ASSIGNEE.eq(session.user().clone()).and(SharedTask::STATUS.eq(Status::Open)))
        .count()?;
    let authored = session.query::<SharedTask>().mine().count()?;
    let projects = session.count::<Project>()?;
    let notes = session.count::<PrivateNote>()?;
    if out.json {
        out.json(&json!({
            "user": session.user(), "organization": session.organization(),
            "tasks": { "all": all, "open": open, "done": done, "overdue": overdue, "mine": mine, "authored": authored },
            "projects": projects, "private_notes": notes,
        }));
        return Ok(());
    }
    let rows = vec![
        ("Shared to-dos", all),
        ("  open", open),
        ("  overdue", overdue),
        ("  done", done),
        ("  open, for you", mine),
        ("  written by you", authored),
        ("Projects", projects),
        ("Your private notes", notes),
    ];
    print_counts(&format!("{} in {}", session.user(), session.organization()), rows, out);
    Ok(())
}

fn print_counts(title: &str, rows: Vec<(&str, u64)>, out: &mut Terminal) {
    let rows = rows
        .into_iter()
        .map(|(name, count)| {
            let count = out.cell(count.to_string(), None).set_alignment(comfy_table::CellAlignment::Right);
            vec![out.cell(name, None), count]
        })
        .collect();
    out.table(&[title, "Count"], rows);
}
