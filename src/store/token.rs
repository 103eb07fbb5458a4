//! Sessions from tokens, and where a refused one is noted.

use std::sync::{Arc, PoisonError};

use sha2::{Digest, Sha256};

use super::{Refusal, Store, absent_as_none};
use crate::admin::AdminSession;
use crate::commit::Actor;
use crate::error::{Error, Result};
use crate::identity::UserId;
use crate::schema::identities::{self, StoredUser};
use crate::session::{OrganizationSession, TenantSession};
use crate::token::{Refused, TokenVerifier, Verified};

impl Store {
    /// A session for the user that a bearer token names, until the token expires: then the session's next call
    /// answers [`Error::Expired`], and so does that of everything made from it. What is not committed by then is not kept.
    ///
    /// The user has to be there: make users when they first come, or beforehand.
    ///
    /// # Errors
    ///
    /// - [`Error::Token`], whose reason is for the application's operator. A token whose signature fits is noted in its user's
    ///   log, once as long as it is among the last ones that were refused; any other only in a warning to `tracing`, since
    ///   anybody can write a name into a token.
    /// - [`Error::UnknownUser`] and [`Error::Disabled`], as [`session`](Self::session).
    ///
    /// [`TokenVerifier`] has an example.
    pub fn session_from_token(&self, verifier: &TokenVerifier, token: &str) -> Result<TenantSession> {
        let Verified { user, limits } = self.verify(verifier, token)?;
        Ok(self.session(&user)?.limited(Some(Arc::new(limits))))
    }

    /// A session within the organization that a bearer token names by its
    /// [claim](TokenVerifier::organization_claim), until the token expires.
    ///
    /// # Errors
    ///
    /// As [`session_from_token`](Self::session_from_token) and
    /// [`in_organization`](TenantSession::in_organization); [`Error::InvalidInput`] if the verifier has no claim for it.
    pub fn organization_session_from_token(
        &self,
        verifier: &TokenVerifier,
        token: &str,
    ) -> Result<OrganizationSession> {
        let unnamed =
            || Error::invalid("verifier", "say by `organization_claim` which claim names the organization");
        let claim = verifier.organization().ok_or_else(unnamed)?;
        let Verified { user, limits } = self.verify(&verifier.clone().require(claim), token)?;
        let organization = limits.organization.clone().ok_or_else(unnamed)?;
        self.session(&user)?.limited(Some(Arc::new(limits))).in_organization(&organization)
    }

    /// A session for administering the store, as [`admin`](Self::admin), for the store admin whom a bearer token names, until
    /// the token expires. The token has to say `admin` in its [claim of a role](TokenVerifier::role_claim), and must name
    /// no single organization; the store's own records have to say it too.
    ///
    /// # Errors
    ///
    /// As [`session_from_token`](Self::session_from_token) and [`admin`](Self::admin); [`Error::AccessDenied`] for a token
    /// that does not say so, which is noted in the user's log.
    pub fn admin_from_token(
        &self,
        verifier: &TokenVerifier,
        token: &str,
        reason: &str,
    ) -> Result<AdminSession> {
        let session = self.session_from_token(verifier, token)?;
        match session.core().limits() {
            Some(limits) if limits.allow_store_admin() => {
                AdminSession::open(&self.inner, session.user(), reason, Some(Arc::clone(limits)))
            }
            _ => {
                let error = Error::AccessDenied { reason: "the token is no administrator's".to_owned() };
                Err(session.core().refused(("admin", session.user().to_string()), error))
            }
        }
    }

    fn verify(&self, verifier: &TokenVerifier, token: &str) -> Result<Verified> {
        verifier.verify(token, self.inner.clock()).map_err(|refused| self.refuse_token(token, refused))
    }

    fn refuse_token(&self, token: &str, refused: Refused) -> Error {
        let Refused { problem, user } = refused;
        tracing::warn!(reason = %problem, "a token was refused");
        let (told, error) = (problem.to_string(), Error::Token { reason: problem });
        match user.and_then(|user| self.user_to_tell(&user, token)) {
            Some(StoredUser { key: user, mark, .. }) => {
                let what = Some(("token", told));
                let actor = Actor { user: Some(mark), admin: None };
                self.inner.refuse(Refusal { user, actor, outcome: "not_allowed", what }, error)
            }
            None => error,
        }
    }

    /// The user in whose log a refused token of theirs is noted: once, however often it is sent.
    fn user_to_tell(&self, user: &UserId, token: &str) -> Option<StoredUser> {
        let known = self.inner.read(|connection| absent_as_none(identities::find_user(connection, user)));
        let known = known.ok().flatten()?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut noted = self.inner.noted_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert(digest, ()).is_none().then_some(known)
    }
}
