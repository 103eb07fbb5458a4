//! Notes: a person's own, and a member's private ones within an organization.

use serde_json::{Value as Json, json};
use tenantry::{Cursor, Error, Id, OrganizationSession, Record, TenantSession};

use crate::cli::{Cli, NoteAction};
use crate::failure::{Failure, Outcome};
use crate::model::{self, Note, PrivateNote, SharedTask};
use crate::output::{self, Style, Terminal, plural, short_id};
use crate::place::{Access, IdPart, Place, find};
use crate::tasks::print_fields;

pub(crate) fn run(cli: &Cli, action: &NoteAction, out: &mut Terminal) -> Outcome {
    let access = if matches!(action, NoteAction::List { .. }) { Access::Read } else { Access::Write };
    match Place::enter(cli, access)? {
        Place::Own(session) => own(&session, action, out),
        Place::Shared(session) => private(&session, action, out),
    }
}

fn own(session: &TenantSession, action: &NoteAction, out: &mut Terminal) -> Outcome {
    match action {
        NoteAction::Add { on: Some(_), .. } | NoteAction::List { on: Some(_), .. } => {
            Err(Failure::usage("--on names a shared to-do, so it needs --org ORG"))
        }
        NoteAction::Add { text, title, tags, on: None } => {
            let note = Note {
                title: title
                    .clone()
                    .unwrap_or_else(|| output::shorten(text.lines().next().unwrap_or(text), 60)),
                body: text.clone(),
                tags: model::join_tags(tags),
                score: 0,
                comments: Vec::new(),
                source: None,
            };
            let id = session.insert(&note)?;
            added(id.uuid(), &note.title, note_json(&session.get(id)?), out);
            Ok(())
        }
        NoteAction::List { on: None, tags, search, limit, page } => {
            let mut query = session.query::<Note>().order_by(Record::<Note>::CREATED.desc());
            for tag in tags {
                query = query.filter(Note::TAGS.contains(model::tag_pattern(tag)));
            }
            if let Some(text) = search {
                query = query.filter(
                    Note::TITLE
                        .contains_ignore_ascii_case(text)
                        .or(Note::BODY.contains_ignore_ascii_case(text)),
                );
            }
            let total = query.count()?;
            if let Some(cursor) = page {
                let cursor: Cursor = cursor.parse()?;
                query = query.after(&cursor);
            }
            let page = query.page(*limit)?;
            let next = page.next.map(|next| next.to_string());
            if out.json {
                let notes: Vec<Json> = page.records.iter().map(note_json).collect();
                out.json(&json!({ "notes": notes, "total": total, "next": next }));
                return Ok(());
            }
            let rows = page.records.iter().map(|note| {
                let score = if note.score == 0 { String::new() } else { note.score.to_string() };
                let comments =
                    if note.comments.is_empty() { String::new() } else { note.comments.len().to_string() };
                vec![
                    out.cell(short_id(note.id.uuid()), Some(Style::Dim)),
                    out.cell(output::shorten(&note.title, 72), None),
                    out.cell(model::split_tags(&note.tags).join(", "), Some(Style::Dim)),
                    out.cell(score, None),
                    out.cell(comments, None),
                    out.cell(output::day(note.created), None),
                ]
            });
            let rows = rows.collect();
            print_list(&["Id", "Title", "Tags", "Score", "Comments", "Created"], rows, total, next, out);
            Ok(())
        }
        NoteAction::Rm { id } => {
            let part = IdPart::parse(id)?;
            let note = find::<_, Note>(session, &part)?.ok_or_else(|| part.not_found("note"))?;
            session.delete(&note)?;
            deleted(note.id.uuid(), &note.title, out);
            Ok(())
        }
    }
}

fn private(session: &OrganizationSession, action: &NoteAction, out: &mut Terminal) -> Outcome {
    match action {
        NoteAction::Add { text, title, tags, on } => {
            if title.is_some() || !tags.is_empty() {
                return Err(Failure::usage("a private note is text alone: leave out --title and --tag"));
            }
            let task = on.as_deref().map(|id| shared_task(session, id)).transpose()?;
            let id = session.insert(&PrivateNote { text: text.clone(), task, source: None })?;
            added(id.uuid(), text, private_json(&session.get(id)?, None), out);
            Ok(())
        }
        NoteAction::List { on, tags, search, limit, page } => {
            if !tags.is_empty() {
                return Err(Failure::usage("private notes have no tags; use --search"));
            }
            let mut query = session.query::<PrivateNote>().order_by(Record::<PrivateNote>::CREATED.desc());
            if let Some(id) = on {
                query = query.filter(PrivateNote::TASK.eq(shared_task(session, id)?));
            }
            if let Some(text) = search {
                query = query.filter(PrivateNote::TEXT.contains_ignore_ascii_case(text));
            }
            let total = query.count()?;
            if let Some(cursor) = page {
                let cursor: Cursor = cursor.parse()?;
                query = query.after(&cursor);
            }
            let page = query.with(PrivateNote::TASK).page(*limit)?;
            let next = page.next.map(|next| next.to_string());
            if out.json {
                let notes: Vec<Json> =
                    page.records.iter().map(|(note, task)| private_json(note, task.as_ref())).collect();
                out.json(&json!({ "notes": notes, "total": total, "next": next }));
                return Ok(());
            }
            let rows = page.records.iter().map(|(note, task)| {
                vec![
                    out.cell(short_id(note.id.uuid()), Some(Style::Dim)),
                    out.cell(output::shorten(&note.text, 90), None),
                    out.cell(
                        task.as_ref().map(|task| output::shorten(&task.title, 40)).unwrap_or_default(),
                        None,
                    ),
                    out.cell(output::day(note.created), Some(Style::Dim)),
                ]
            });
            let rows = rows.collect();
            print_list(&["Id", "Private note", "On", "Created"], rows, total, next, out);
            Ok(())
        }
        NoteAction::Rm { id } => {
            let part = IdPart::parse(id)?;
            let note =
                find::<_, PrivateNote>(session, &part)?.ok_or_else(|| part.not_found("private note"))?;
            session.delete(&note)?;
            deleted(note.id.uuid(), &note.text, out);
            Ok(())
        }
    }
}

fn shared_task(session: &OrganizationSession, id: &str) -> Outcome<Id<SharedTask>> {
    let part = IdPart::parse(id)?;
    Ok(find::<_, SharedTask>(session, &part)?.ok_or_else(|| part.not_found("shared to-do"))?.id)
}

fn added(id: tenantry::Uuid, title: &str, json: Json, out: &mut Terminal) {
    if out.json {
        out.json(&json);
    } else {
        let id = out.style(Style::Bold, short_id(id));
        out.line(format!("Noted {id}  {}", output::shorten(title, 90)));
    }
}

fn deleted(id: tenantry::Uuid, title: &str, out: &mut Terminal) {
    if out.json {
        out.json(&json!({ "deleted": [id] }));
    } else {
        out.line(format!("Deleted {}  {}", short_id(id), output::shorten(title, 90)));
    }
}

fn print_list(
    header: &[&str],
    rows: Vec<Vec<comfy_table::Cell>>,
    total: u64,
    next: Option<String>,
    out: &mut Terminal,
) {
    let shown = rows.len() as u64;
    if shown == 0 {
        out.line("Nothing to show.");
        return;
    }
    out.table(header, rows);
    let count =
        if shown == total { plural(total, "note") } else { format!("{shown} of {}", plural(total, "note")) };
    let line = next.map_or(count.clone(), |next| format!("{count}; for more add --page {next}"));
    let line = out.style(Style::Dim, line);
    out.line(line);
}

fn note_json(note: &Record<Note>) -> Json {
    json!({
        "id": note.id, "title": note.title, "body": note.body, "tags": model::split_tags(&note.tags),
        "score": note.score, "comments": note.comments, "source": note.source,
        "created": note.created, "updated": note.updated, "version": note.version,
    })
}

fn private_json(note: &Record<PrivateNote>, task: Option<&Record<SharedTask>>) -> Json {
    json!({
        "id": note.id, "text": note.text, "on": note.task, "on_title": task.map(|task| &task.title),
        "source": note.source, "created": note.created, "updated": note.updated, "version": note.version,
    })
}

/// Shows the note that an id names, if there is one.
pub(crate) fn show(session: &TenantSession, part: &IdPart, out: &mut Terminal) -> Outcome<Option<Id<Note>>> {
    let Some(note) = find::<_, Note>(session, part)? else { return Ok(None) };
    if out.json {
        out.json(&note_json(&note));
        return Ok(Some(note.id));
    }
    let score = if note.score == 0 { String::new() } else { note.score.to_string() };
    let fields = [
        ("Note", note.title.clone()),
        ("Tags", model::split_tags(&note.tags).join(", ")),
        ("Score", score),
        ("Created", output::moment(note.created)),
        ("Imported from", note.source.clone().unwrap_or_default()),
        ("Id", note.id.to_string()),
    ];
    print_fields(fields, out);
    out.line(format!("\n{}", output::printable(note.body.trim_end())));
    for comment in &note.comments {
        let by = out.style(Style::Bold, output::printable(&format!("{} — {}", comment.by, comment.title)));
        out.line(format!("\n  {by}"));
        for line in output::printable(&comment.text).lines() {
            out.line(format!("  {line}"));
        }
    }
    Ok(Some(note.id))
}

pub(crate) fn show_private(
    session: &OrganizationSession,
    part: &IdPart,
    out: &mut Terminal,
) -> Outcome<Option<Id<PrivateNote>>> {
    let Some(note) = find::<_, PrivateNote>(session, part)? else { return Ok(None) };
    let task = match note.task.map(|task| session.get(task)).transpose() {
        // Somebody deleted it in this moment.
        Err(Error::NotFound { .. }) => None,
        task => task?,
    };
    if out.json {
        out.json(&private_json(&note, task.as_ref()));
        return Ok(Some(note.id));
    }
    let fields = [
        ("Private note", note.text.clone()),
        ("On", task.map(|task| task.title.clone()).unwrap_or_default()),
        ("Created", output::moment(note.created)),
        ("Id", note.id.to_string()),
    ];
    print_fields(fields, out);
    Ok(Some(note.id))
}

/// The member's own notes on a shared to-do, below it. JSON is one value, so there they are left
/// to `note list --on`.
pub(crate) fn show_on(session: &OrganizationSession, task: Id<SharedTask>, out: &mut Terminal) -> Outcome {
    if out.json {
        return Ok(());
    }
    for note in session.query::<PrivateNote>().filter(PrivateNote::TASK.eq(task)).list()? {
        let label = out.style(Style::Bold, "Your note     ");
        out.line(format!("{label} {}", output::printable(&note.text)));
    }
    Ok(())
}
