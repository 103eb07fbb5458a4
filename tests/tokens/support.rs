//! Keys, tokens of any shape, and a store with a clock that the test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value as Json, json};
use tenantry::{
    Entity, Error, OrganizationId, Role, Store, TenantSession, Timestamp, TokenProblem, TokenVerifier, UserId,
};

pub(crate) const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
pub(crate) const RSA: &[u8] = include_bytes!("keys/rsa.pem");
pub(crate) const RSA_PUBLIC: &[u8] = include_bytes!("keys/rsa.pub.pem");
pub(crate) const P256: &[u8] = include_bytes!("keys/p256.pem");
pub(crate) const P256_PUBLIC: &[u8] = include_bytes!("keys/p256.pub.pem");
pub(crate) const ED25519: &[u8] = include_bytes!("keys/ed25519.pem");
pub(crate) const ED25519_PUBLIC: &[u8] = include_bytes!("keys/ed25519.pub.pem");
/// The `x` of its JWK.
pub(crate) const ED25519_X: &str = "0-0mMxeXquaANeiXOy7eVS9d4szQ2-7YIQWzKZI0cps";

/// When the tests' clock begins: 2026-11-24 12:00 UTC.
pub(crate) const NOON: i64 = 1_795_521_600;
/// The verifier's own leeway, in seconds.
pub(crate) const LEEWAY: i64 = 30;

#[derive(Debug, Clone, PartialEq, Entity)]
pub(crate) struct Task {
    pub(crate) title: String,
}

#[derive(Debug, Clone, PartialEq, Entity)]
#[entity(tenancy = organization)]
pub(crate) struct Ticket {
    pub(crate) title: String,
}

pub(crate) fn task(title: &str) -> Task {
    Task { title: title.to_owned() }
}

/// Microseconds since the epoch, set by the test.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn new(second: i64) -> Self {
        Self(Arc::new(AtomicI64::new(second * 1_000_000)))
    }

    pub(crate) fn set(&self, second: i64) {
        self.set_micros(second * 1_000_000);
    }

    pub(crate) fn set_micros(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Ada, an admin of `acme` and a member of `club`, and Grace, who is in none.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) ada: UserId,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Store::builder())
    }

    pub(crate) fn of(builder: tenantry::Builder) -> Self {
        let clock = Clock::new(NOON);
        let read = clock.clone();
        let builder = builder.clock(move || read.now()).entity::<Task>().entity::<Ticket>();
        let store = builder.temporary().unwrap();
        let ada = store.users().create(&UserId::new("ada").unwrap()).unwrap().id;
        store.users().create(&UserId::new("grace").unwrap()).unwrap();
        for (id, role) in [("acme", Role::Admin), ("club", Role::Member)] {
            let organization = store.organizations().create(&organization(id)).unwrap();
            store.organizations().add_member(&organization, &ada, role).unwrap();
        }
        Self { store, clock, ada }
    }

    pub(crate) fn enter(&self, verifier: &TokenVerifier, token: &str) -> tenantry::Result<TenantSession> {
        self.store.session_from_token(verifier, token)
    }

    /// Why a token is refused; checks that whoever sent it is not told.
    #[track_caller]
    pub(crate) fn refused(&self, verifier: &TokenVerifier, token: &str) -> TokenProblem {
        let error = self.enter(verifier, token).expect_err("the token should be refused");
        assert_eq!(error.to_string(), "the token was refused");
        match error {
            Error::Token { reason } => reason,
            other => panic!("another error: {other:?}"),
        }
    }

    /// The log of refusals of Ada: outcomes and what was told.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let log = self.store.session(&self.ada).unwrap().audit().action("session").list().unwrap();
        log.iter().map(|entry| format!("{}: {:?}", entry.outcome, entry.changes)).collect()
    }
}

pub(crate) fn organization(id: &str) -> OrganizationId {
    OrganizationId::new(id).unwrap()
}

/// A pair of keys: how tokens are signed, and the verifier of them.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
    pub(crate) verifier: TokenVerifier,
}

impl Kind {
    pub(crate) fn hs256() -> Self {
        let (key, verifier) = (EncodingKey::from_secret(SECRET), TokenVerifier::hs256(SECRET).unwrap());
        Self { name: "HS256", algorithm: Algorithm::HS256, key, verifier }
    }

    pub(crate) fn rs256() -> Self {
        let key = EncodingKey::from_rsa_pem(RSA).unwrap();
        let verifier = TokenVerifier::rs256_pem(RSA_PUBLIC).unwrap();
        Self { name: "RS256", algorithm: Algorithm::RS256, key, verifier }
    }

    pub(crate) fn es256() -> Self {
        let key = EncodingKey::from_ec_pem(P256).unwrap();
        let verifier = TokenVerifier::es256_pem(P256_PUBLIC).unwrap();
        Self { name: "ES256", algorithm: Algorithm::ES256, key, verifier }
    }

    pub(crate) fn ed25519() -> Self {
        let key = EncodingKey::from_ed_pem(ED25519).unwrap();
        let verifier = TokenVerifier::ed25519_pem(ED25519_PUBLIC).unwrap();
        Self { name: "EdDSA", algorithm: Algorithm::EdDSA, key, verifier }
    }

    pub(crate) fn all() -> [Self; 4] {
        [Self::hs256(), Self::rs256(), Self::es256(), Self::ed25519()]
    }

    /// A token with the usual header.
    pub(crate) fn token(&self, claims: &Json) -> String {
        self.signed(&json!({ "alg": self.name, "typ": "JWT" }), claims)
    }

    pub(crate) fn signed(&self, header: &Json, claims: &Json) -> String {
        self.signed_texts(&header.to_string(), &claims.to_string())
    }

    /// Of JSON as it is, or of what is none.
    pub(crate) fn signed_texts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// Ada's, good for a minute from noon.
pub(crate) fn claims() -> Json {
    json!({ "sub": "ada", "exp": NOON + 60 })
}

/// Ada's, with some claims more, or others.
pub(crate) fn claims_with(more: &Json) -> Json {
    let mut claims = claims();
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

pub(crate) fn claim(name: &str) -> TokenProblem {
    TokenProblem::Claim { claim: name.to_owned() }
}

pub(crate) fn missing(name: &str) -> TokenProblem {
    TokenProblem::Missing { claim: name.to_owned() }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn base64url(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0;
        for position in 0..3 {
            bits = bits << 8 | u32::from(group.get(position).copied().unwrap_or(0));
        }
        for position in 0..=group.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * position) & 63) as usize]));
        }
    }
    text
}

/// The bytes of what [`base64url`] made.
pub(crate) fn bytes_of(text: &str) -> Vec<u8> {
    let mut bits = Vec::new();
    for character in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == character).unwrap();
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    bits.chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | u8::try_from(*bit).unwrap()))
        .collect()
}
