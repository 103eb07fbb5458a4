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

/// What a subscriber writes down while something happens.
fn told(level: tracing::Level, happen: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, happen);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn spans_name_the_operation_and_hide_the_tenant() {
    let text = told(tracing::Level::DEBUG, || {
        let store = engine::builder().entity::<Task>().temporary().unwrap();
        let user = store.users().create(&UserId::new("ada-lovelace").unwrap()).unwrap();
        let ada = store.session(&user).unwrap();
        ada.insert(&Task { title: "nobody else's business".to_owned() }).unwrap();
        ada.list::<Task>().unwrap();
    });
    assert!(text.contains(r#"operation="insert" entity="task" tenant="#), "{text}");
    assert!(text.contains(r#"operation="list" entity="task" tenant="#), "{text}");
    assert!(!text.contains("lovelace") && !text.contains("business"), "{text}");
}

/// A refused token tells the operator why, and is itself nowhere: it may still be good elsewhere.
#[cfg(feature = "jwt")]
#[test]
fn warnings_say_why_a_token_was_refused_and_not_which() {
    let secret = [7; 32];
    let verifier = tenantry::TokenVerifier::hs256(secret).unwrap();
    let signed = |claims: serde_json::Value| {
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
    };
    let expired = signed(serde_json::json!({ "sub": "ada-lovelace", "exp": 0, "canary": "CANARY" }));
    let stranger = signed(serde_json::json!({ "sub": "stranger-lovelace", "exp": 0 }));
    let forged = format!("{}A", &expired[..expired.len() - 2]);
    let mut errors = String::new();
    let text = told(tracing::Level::TRACE, || {
        let store = engine::builder().temporary().unwrap();
        store.users().create(&UserId::new("ada-lovelace").unwrap()).unwrap();
        for token in [&expired, &stranger, &forged] {
            let error = store.session_from_token(&verifier, token).unwrap_err();
            errors.push_str(&format!("{error} {error:?}"));
        }
    });
    for reason in ["it has expired", "the signature does not fit"] {
        assert!(text.contains(reason), "{text}");
    }
    for part in expired.split('.').chain(stranger.split('.')).chain(["CANARY", "lovelace"]) {
        assert!(!text.contains(part) && !errors.contains(part), "{part}: {text} {errors}");
    }
}
