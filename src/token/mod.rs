//! JSON Web Tokens (RFC 7515, 7517, 7519): who somebody is, by a signature that the application trusts.
//!
//! The `jsonwebtoken` crate does one thing here, the signature. How a token is read (`parts`), which key it is held against
//! (`keys`) and what it has to say (`claims`) is decided in this module, strictly, and by the store's own clock.

mod claims;
mod keys;
mod parts;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value as Json};

use self::claims::{Claims, Rules};
use self::keys::{Key, Keys};
use self::parts::Parts;
use crate::commit::Clock;
use crate::error::{Error, Result, TokenProblem};
use crate::identity::UserId;
use crate::session::Limits;

pub use self::keys::Algorithm;

/// How much clocks may differ, unless the application says otherwise, and at most.
const LEEWAY: Duration = Duration::from_secs(30);
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// Members of a header by which a token would bring its own key, or ask for what is not done.
const REFUSED_MEMBERS: [&str; 6] = ["crit", "b64", "jku", "jwk", "x5u", "x5c"];

/// What `typ` may be, where the application asks for none (RFC 7519, section 5.1; RFC 9068, section 2.1).
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Which tokens an application trusts: a key or several, and what a token has to say.
///
/// The algorithm is that of the key, whatever a token says. `sub` becomes the user; `exp` has to be there, and has to come;
/// `nbf` and `iat` have to be past; `aud` and `iss` have to be [known](Self::audience). Times are compared with the store's
/// clock, with a [leeway](Self::leeway) of 30 seconds. Refused are: tokens of more than 8,192 bytes, unsigned, encrypted or
/// nested ones, ones with a member twice, with extensions (`crit`, `b64`), with a key of their own (`jwk`, `jku`, `x5c`,
/// `x5u`, which are never fetched), with another `typ` than `JWT` or `at+jwt`.
///
/// Cheap to clone; clones share their keys. `Debug` shows no key.
///
/// ```
/// use tenantry::{Entity, Error, Store, TokenProblem, TokenVerifier, UserId};
/// # #[derive(Entity)] struct Task { title: String }
///
/// # fn main() -> tenantry::Result<()> {
/// # let store = Store::builder().entity::<Task>().temporary()?;
/// # let secret = [7; 32];
/// # let token = |claims: serde_json::Value| {
/// #     let key = jsonwebtoken::EncodingKey::from_secret(&secret);
/// #     jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
/// # };
/// # let now = tenantry::Timestamp::now().as_second();
/// let verifier = TokenVerifier::hs256(secret)?.audience("tasks").issuer("https://login.example");
/// store.users().create(&UserId::new("ada")?)?;
///
/// # let from_a_request = token(serde_json::json!({
/// #     "sub": "ada", "exp": now + 60, "aud": "tasks", "iss": "https://login.example" }));
/// # let expired = token(serde_json::json!({
/// #     "sub": "ada", "exp": now - 60, "aud": "tasks", "iss": "https://login.example" }));
/// let session = store.session_from_token(&verifier, &from_a_request)?;
/// session.insert(&Task { title: "Dig".into() })?;
///
/// let refused = store.session_from_token(&verifier, &expired).unwrap_err();
/// assert!(matches!(refused, Error::Token { reason: TokenProblem::Expired }));
/// assert_eq!(refused.to_string(), "the token was refused");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokenVerifier {
    keys: Arc<RwLock<Arc<Keys>>>,
    /// Of the keys of a set; none where there is one key.
    algorithms: Arc<[Algorithm]>,
    rules: Arc<Rules>,
}

impl TokenVerifier {
    fn new(keys: Keys, algorithms: &[Algorithm]) -> Self {
        let rules = Rules {
            audiences: Vec::new(),
            issuers: Vec::new(),
            leeway: signed(LEEWAY),
            token_type: None,
            organization: None,
            role: None,
            required: Vec::new(),
        };
        Self {
            keys: Arc::new(RwLock::new(Arc::new(keys))),
            algorithms: algorithms.into(),
            rules: Arc::new(rules),
        }
    }

    /// Tokens signed with a secret that the application shares with whoever makes them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for a secret of less than 32 bytes (RFC 7518, section 3.2), and for a PEM file, which is
    /// somebody's public key.
    ///
    /// ```
    /// use tenantry::TokenVerifier;
    /// assert!(TokenVerifier::hs256("too short").is_err());
    /// assert!(TokenVerifier::hs256([7; 32]).is_ok());
    /// ```
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self::new(Keys::One(Key::hs256(secret.as_ref())?), &[]))
    }

    /// Tokens signed with RS256, by the public key in a PEM file.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for what is no RSA public key of 2,048 (RFC 7518, section 3.3) to 4,096 bits.
    pub fn rs256_pem(pem: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self::new(Keys::One(Key::rs256_pem(pem.as_ref())?), &[]))
    }

    /// Tokens signed with ES256, by the public key in a PEM file.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for what is no public key on P-256.
    pub fn es256_pem(pem: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self::new(Keys::One(Key::es256_pem(pem.as_ref())?), &[]))
    }

    /// Tokens signed with EdDSA on Ed25519, by the public key in a PEM file.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for what is no Ed25519 public key.
    pub fn ed25519_pem(pem: impl AsRef<[u8]>) -> Result<Self> {
        Ok(Self::new(Keys::One(Key::ed25519_pem(pem.as_ref())?), &[]))
    }

    /// Tokens signed by one of the keys of a JWK set (RFC 7517) that are for these algorithms. What is in the set besides,
    /// or is weak, or says of itself that it is for something else, is left out, with a warning to `tracing`.
    ///
    /// A token has to name its key by `kid`, unless there is only one. Keys that are replaced are given by
    /// [`replace_jwk_set`](Self::replace_jwk_set). Issuers with keys of their own need a verifier of their own each: a key
    /// of the set is good for every issuer.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for what is no JWK set, for one in which two of these keys have the same `kid`, and for one
    /// without any of them.
    ///
    /// ```
    /// use tenantry::{Algorithm, TokenVerifier};
    /// # fn main() -> tenantry::Result<()> {
    /// let fetched = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "2026-11", "use": "sig",
    ///     "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    /// let verifier = TokenVerifier::jwk_set(fetched, &[Algorithm::Ed25519])?;
    /// assert!(TokenVerifier::jwk_set(fetched, &[Algorithm::Rs256]).is_err());
    /// # Ok(()) }
    /// ```
    pub fn jwk_set(json: &str, algorithms: &[Algorithm]) -> Result<Self> {
        Ok(Self::new(Keys::from_jwk_set(json, algorithms)?, algorithms))
    }

    /// Trusts the keys of another set from now on, and no others; in all clones. Tokens of a key that is gone are refused;
    /// sessions that were made from them go on until they expire.
    ///
    /// # Errors
    ///
    /// As [`jwk_set`](Self::jwk_set), whose keys stay then; [`Error::InvalidInput`] for a verifier that was not made of a
    /// set.
    pub fn replace_jwk_set(&self, json: &str) -> Result<()> {
        if self.algorithms.is_empty() {
            return Err(Error::invalid(
                "verifier",
                "only one that was made by `jwk_set` has a set to replace",
            ));
        }
        let keys = Arc::new(Keys::from_jwk_set(json, &self.algorithms)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }

    /// Whom tokens are for: `aud` has to name one of those that were given. Without any, a token must have no `aud`.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.with(|rules| rules.audiences.push(audience.into()))
    }

    /// Who makes tokens: `iss` has to be one of those that were given. Without any, it is not looked at.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.with(|rules| rules.issuers.push(issuer.into()))
    }

    /// By how much the clock of whoever makes tokens may differ from this one: 30 seconds by default, at most 5 minutes. A
    /// session lasts as much longer than its token.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidInput`] for more than 5 minutes.
    pub fn leeway(self, leeway: Duration) -> Result<Self> {
        if leeway > LEEWAY_MAX {
            return Err(Error::invalid("leeway", "clocks may differ by 5 minutes at most"));
        }
        Ok(self.with(|rules| rules.leeway = signed(leeway)))
    }

    /// What `typ` has to be, as where one issuer makes tokens for several purposes: `at+jwt`, say. By default it
    /// may be missing, `JWT`, or `at+jwt`.
    #[must_use]
    pub fn token_type(self, token_type: impl Into<String>) -> Self {
        self.with(|rules| rules.token_type = Some(token_type.into()))
    }

    /// The claim that names an organization. A session from a token with this claim reaches no other organization. Without
    /// this call, no claim is looked at.
    #[must_use]
    pub fn organization_claim(self, name: impl Into<String>) -> Self {
        self.with(|rules| rules.organization = Some(name.into()))
    }

    /// The claim that names a role, `admin`, `member` or `user`. It takes from what the store's records grant, and never
    /// adds: a session of a token without this claim, or with another role than `admin`, is no administrator's. Without
    /// this call, no claim is looked at.
    #[must_use]
    pub fn role_claim(self, name: impl Into<String>) -> Self {
        self.with(|rules| rules.role = Some(name.into()))
    }

    /// A claim that has to be there besides `sub` and `exp`, such as `iat` or the organization.
    #[must_use]
    pub fn require(self, claim: impl Into<String>) -> Self {
        self.with(|rules| rules.required.push(claim.into()))
    }

    /// The claim that names an organization.
    pub(crate) fn organization(&self) -> Option<&str> {
        self.rules.organization.as_deref()
    }

    /// Whom a token speaks for, and what it allows.
    pub(crate) fn verify(&self, token: &str, clock: &Clock) -> Result<Verified, Refused> {
        let claims = self.signed_claims(token)?;
        match (claims.check(&self.rules, clock), claims.user()) {
            (Ok(limits), Ok(user)) => Ok(Verified { user, limits }),
            // Another issuer's `sub` is somebody else, also where both sign with the same keys.
            (Err(problem), user) => {
                Err(Refused { problem, user: user.ok().filter(|_| claims.is_for(&self.rules)) })
            }
            (Ok(_), Err(problem)) => Err(problem.into()),
        }
    }

    /// The claims, once it is certain who has written them.
    fn signed_claims(&self, token: &str) -> Result<Claims, TokenProblem> {
        let parts = Parts::split(token)?;
        self.check_header(&parts.header)?;
        let text = |name: &'static str| match parts.header.get(name) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(TokenProblem::Header { member: name }),
        };
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let key = keys.find(text("kid")?)?;
        if !text("alg")?.is_some_and(|algorithm| key.is_for(algorithm)) {
            return Err(TokenProblem::Algorithm);
        }
        key.verify(parts.signed, parts.signature)?;
        parts.claims().map(Claims)
    }

    fn check_header(&self, header: &Map<String, Json>) -> Result<(), TokenProblem> {
        if ["enc", "zip", "cty"].iter().any(|member| header.contains_key(*member)) {
            return Err(TokenProblem::Encrypted);
        }
        if let Some(member) = REFUSED_MEMBERS.into_iter().find(|member| header.contains_key(*member)) {
            return Err(TokenProblem::Header { member });
        }
        let fits = match (header.get("typ"), &self.rules.token_type) {
            (None, wanted) => wanted.is_none(),
            (Some(Json::String(found)), Some(wanted)) => is_of(found, wanted),
            (Some(Json::String(found)), None) => TYPES.iter().any(|known| is_of(found, known)),
            (Some(_), _) => false,
        };
        if fits { Ok(()) } else { Err(TokenProblem::Type) }
    }
}

/// Without keys.
impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("TokenVerifier")
            .field("keys", &keys)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Whom a token speaks for.
pub(crate) struct Verified {
    pub(crate) user: UserId,
    pub(crate) limits: Limits,
}

/// A token that is not good.
pub(crate) struct Refused {
    pub(crate) problem: TokenProblem,
    /// Whom it speaks for, if its signature fits: anybody can write any name.
    pub(crate) user: Option<UserId>,
}

impl From<TokenProblem> for Refused {
    fn from(problem: TokenProblem) -> Self {
        Self { problem, user: None }
    }
}

/// Whether two media types are the same; `application/` may be left out (RFC 7515, section 4.1.9).
fn is_of(found: &str, wanted: &str) -> bool {
    let short = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.strip_prefix("application/").map(str::to_owned).unwrap_or(name)
    };
    short(found) == short(wanted)
}

/// Of at most 5 minutes.
fn signed(leeway: Duration) -> SignedDuration {
    SignedDuration::try_from(leeway).unwrap_or(SignedDuration::ZERO)
}
