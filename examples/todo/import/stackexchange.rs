//! Stack Exchange's `Posts.xml`: one `<row …/>` for each post, in a `<posts>`. Streamed, since a
//! dump may be larger than the memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use tenantry::{Store, Timestamp, UserId};

use super::{Run, Tally};
use crate::failure::{Failure, Outcome};
use crate::model::{self, Note};
use crate::output::shorten;
use crate::people::ensure_user;

/// How many bytes of posts are in memory before they are imported.
const BATCH_BYTES: usize = 64 << 20;

struct Post {
    owner: Option<String>,
    created: Timestamp,
    source: String,
    note: Note,
}

/// Reads the whole file without keeping it; how many posts it has.
pub(super) fn check(path: &Path) -> Outcome<u64> {
    let mut posts = 0;
    each_post(path, |_| {
        posts += 1;
        Ok(())
    })
    .map_err(|failure| Failure {
        message: format!("{}; nothing was imported", failure.message),
        ..failure
    })?;
    Ok(posts)
}

pub(super) fn import(
    store: &Store,
    path: &Path,
    posts: u64,
    unowned: Option<&UserId>,
    run: &mut Run,
) -> Outcome {
    let bar = run.progress(posts);
    let mut batch: BTreeMap<String, Vec<Post>> = BTreeMap::new();
    let mut bytes = 0;
    let mut left_out = 0;
    each_post(path, |post| {
        let owner = match (&post.owner, unowned) {
            (Some(owner), _) => owner.clone(),
            (None, Some(user)) => user.to_string(),
            (None, None) => {
                left_out += 1;
                bar.inc(1);
                return Ok(());
            }
        };
        bytes += post.note.body.len() + post.note.title.len();
        batch.entry(owner).or_default().push(post);
        if bytes > BATCH_BYTES {
            bytes = 0;
            return flush(store, std::mem::take(&mut batch), run, &bar);
        }
        Ok(())
    })?;
    flush(store, batch, run, &bar)?;
    bar.finish_and_clear();
    if left_out > 0 {
        run.left_out
            .push(("posts without an owner (--unowned USER gives them to somebody)".to_owned(), left_out));
    }
    Ok(())
}

/// Imports a batch, each owner's posts in one transaction.
fn flush(
    store: &Store,
    batch: BTreeMap<String, Vec<Post>>,
    run: &mut Run,
    bar: &indicatif::ProgressBar,
) -> Outcome {
    for (owner, posts) in batch {
        let user = UserId::new(&owner)?;
        if ensure_user(store, &user, "")? {
            run.users_made += 1;
        }
        let mut at = String::new();
        let tally = store
            .session(&user)?
            .transaction(|tx| {
                let mut tally = Tally::default();
                for post in &posts {
                    at.clone_from(&post.source);
                    let (_, kept) =
                        run.keep(tx, Note::SOURCE, &post.source, &post.note, Some(post.created))?;
                    tally.notes += 1;
                    tally.count(kept);
                }
                Ok(tally)
            })
            .map_err(|error| Failure::from(error).within(&at))?;
        bar.inc(posts.len() as u64);
        run.owners.entry(owner).or_default().add(&tally);
    }
    Ok(())
}

/// Calls back with each post; an error names the line.
fn each_post(path: &Path, mut each: impl FnMut(Post) -> Outcome) -> Outcome {
    let file =
        File::open(path).map_err(|error| Failure::refused(format!("the file can not be read: {error}")))?;
    let mut reader = Reader::from_reader(BufReader::with_capacity(1 << 18, file));
    let mut buffer = Vec::new();
    let mut inside = false;
    let mut seen = false;
    loop {
        let position = reader.buffer_position();
        let failed = |problem: String, position: u64| {
            Failure::refused(match line_of(path, position) {
                Some(line) => format!("line {line}: {problem}"),
                None => problem,
            })
        };
        let event = match reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(error) => {
                let position = reader.error_position();
                return Err(failed(format!("the XML is malformed or cut off: {error}"), position));
            }
        };
        match event {
            Event::Start(start) | Event::Empty(start) => match start.name().as_ref() {
                "row" if inside => each(post(&start).map_err(|problem| failed(problem, position))?)?,
                _ if inside => {}
                "posts" => (inside, seen) = (true, true),
                name => {
                    return Err(failed(
                        format!("<{name}> is not Stack Exchange's Posts.xml, which begins with <posts>"),
                        position,
                    ));
                }
            },
            Event::End(end) if end.name().as_ref() == "posts" => inside = false,
            Event::Eof if inside => {
                return Err(failed("the file is cut off: </posts> is missing".to_owned(), position));
            }
            Event::Eof if !seen => {
                return Err(Failure::refused("not Stack Exchange's Posts.xml: there is no <posts> in it"));
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
        buffer.clear();
    }
}

/// The number of the line at a position; the file is read again, since that is needed only once.
fn line_of(path: &Path, position: u64) -> Option<u64> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let (mut line, mut read) = (1, 0);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let length = file.read_until(b'\n', &mut buffer).ok()? as u64;
        read += length;
        if length == 0 || read > position {
            // Events begin where the one before ended, which may be at a line's end.
            return Some(line);
        }
        line += 1;
    }
}

fn post(row: &BytesStart<'_>) -> Result<Post, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for attribute in row.attributes() {
        let attribute = attribute.map_err(|error| format!("the row is malformed: {error}"))?;
        let name = attribute.key.as_ref().to_owned();
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("{name} is malformed: {error}"))?;
        fields.insert(name, value.into_owned());
    }
    let mut needed = |name: &str| fields.remove(name).ok_or_else(|| format!("a row has no {name}"));
    let id = needed("Id")?;
    let of = |problem: String| format!("post {id}: {problem}");
    let created = needed("CreationDate").map_err(of)?;
    let time: Timestamp = format!("{}Z", created.trim_end_matches('Z'))
        .parse()
        .map_err(|_| of(format!("CreationDate {created:?} is no time")))?;
    let body = needed("Body").map_err(of)?;
    let score = match fields.remove("Score") {
        None => 0,
        Some(score) => score.parse().map_err(|_| of(format!("Score {score:?} is no number")))?,
    };
    let owner = match fields.remove("OwnerUserId") {
        None => None,
        Some(owner) => {
            let owner: i64 = owner.parse().map_err(|_| of(format!("OwnerUserId {owner:?} is no number")))?;
            Some(format!("user-{owner}"))
        }
    };
    // Answers have no title of their own.
    let title = fields.remove("Title").unwrap_or_else(|| shorten(&without_markup(&body), 80));
    let tags = fields.remove("Tags").map(|tags| tags_of(&tags)).unwrap_or_default();
    // A dump does not name its site, and every site has a post 1; their times differ.
    let source = format!("stackexchange/{id}@{created}");
    let note = Note {
        title,
        body,
        tags: model::join_tags(&tags),
        score,
        comments: Vec::new(),
        source: Some(source.clone()),
    };
    Ok(Post { owner, created: time, source, note })
}

/// `<algebra><proofs>` in older dumps, `|algebra|proofs|` in newer ones.
fn tags_of(text: &str) -> Vec<String> {
    text.split(['<', '>', '|']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn without_markup(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for c in html.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            _ if in_tag => {}
            _ => text.push(c),
        }
    }
    for (entity, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        text = text.replace(entity, c);
    }
    text
}
