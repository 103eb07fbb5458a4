//! What spans say. A process of its own: `tracing` remembers for all threads whether anybody listens.

#![allow(clippy::unwrap_used, missing_docs)]

mod engine;

use std::io::Write;
use std::sync::{Arc, Mutex};

use tenantry::{Entity, UserId};

#[derive(Debug, Entity)]
struct Task {
    title: String,
}

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn spans_name_the_operation_and_hide_the_tenant() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let store = engine::builder().entity::<Task>().temporary().unwrap();
        let user = store.users().create(&UserId::new("ada-lovelace").unwrap()).unwrap();
        let ada = store.session(&user).unwrap();
        ada.insert(&Task { title: "nobody else's business".to_owned() }).unwrap();
        ada.list::<Task>().unwrap();
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains(r#"operation="insert" entity="task" tenant="#), "{text}");
    assert!(text.contains(r#"operation="list" entity="task" tenant="#), "{text}");
    assert!(!text.contains("lovelace") && !text.contains("business"), "{text}");
}
