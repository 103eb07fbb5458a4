//! What a token has to say of itself, and when.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json};

use crate::commit::Clock;
use crate::error::TokenProblem;
use crate::identity::{OrganizationId, Role, UserId};
use crate::session::Limits;

/// What a verifier asks of claims.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) audiences: Vec<String>,
    pub(super) issuers: Vec<String>,
    pub(super) leeway: SignedDuration,
    pub(super) token_type: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) role: Option<String>,
    pub(super) required: Vec<String>,
}

/// The claims of a token whose signature fits.
pub(super) struct Claims(pub(super) Map<String, Json>);

impl Claims {
    /// Whom the token is about, valid or not.
    pub(super) fn user(&self) -> Result<UserId, TokenProblem> {
        let user = self.text("sub")?.ok_or_else(|| missing("sub"))?;
        UserId::new(user).map_err(|_| invalid("sub"))
    }

    /// Whether the token is good now, and what it allows.
    pub(super) fn check(&self, rules: &Rules, clock: &Clock) -> Result<Limits, TokenProblem> {
        for name in &rules.required {
            self.0.get(name).ok_or_else(|| missing(name))?;
        }
        let expires = self.check_times(rules, clock())?;
        self.check_issuer(rules)?;
        self.check_audience(rules)?;
        let (organization, role) = (self.organization(rules)?, self.role(rules)?);
        Ok(Limits { expires, organization, role, clock: Arc::clone(clock) })
    }

    /// Whether it is from whom and for whom the verifier asks.
    pub(super) fn is_for(&self, rules: &Rules) -> bool {
        self.check_issuer(rules).is_ok() && self.check_audience(rules).is_ok()
    }

    /// When the token ends: a little after `exp`, as clocks differ a little.
    fn check_times(&self, rules: &Rules, now: Timestamp) -> Result<Timestamp, TokenProblem> {
        let expires = self.time("exp", Round::Down)?.ok_or_else(|| missing("exp"))?;
        // A leeway reaches beyond the last moment that there is.
        let expires = expires.checked_add(rules.leeway).map_err(|_| invalid("exp"))?;
        let latest = now.checked_add(rules.leeway).unwrap_or(Timestamp::MAX);
        let not_before = self.time("nbf", Round::Up)?;
        let issued = self.time("iat", Round::Up)?;
        if now >= expires {
            Err(TokenProblem::Expired)
        } else if not_before.is_some_and(|time| time > latest) {
            Err(TokenProblem::NotYet)
        } else if issued.is_some_and(|time| time > latest) {
            Err(TokenProblem::Future)
        } else {
            Ok(expires)
        }
    }

    fn check_issuer(&self, rules: &Rules) -> Result<(), TokenProblem> {
        if rules.issuers.is_empty() {
            return Ok(());
        }
        let issuer = self.text("iss")?.ok_or_else(|| missing("iss"))?;
        if rules.issuers.iter().any(|known| known == issuer) { Ok(()) } else { Err(TokenProblem::Issuer) }
    }

    /// RFC 7519, section 4.1.3: a token with an audience is for nobody else, also where none is asked for.
    fn check_audience(&self, rules: &Rules) -> Result<(), TokenProblem> {
        let named: Vec<&str> = match self.0.get("aud") {
            None if rules.audiences.is_empty() => return Ok(()),
            None => return Err(missing("aud")),
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => {
                several.iter().map(Json::as_str).collect::<Option<_>>().ok_or_else(|| invalid("aud"))?
            }
            Some(_) => return Err(invalid("aud")),
        };
        if rules.audiences.iter().any(|known| named.contains(&known.as_str())) {
            Ok(())
        } else {
            Err(TokenProblem::Audience)
        }
    }

    fn organization(&self, rules: &Rules) -> Result<Option<OrganizationId>, TokenProblem> {
        let Some(name) = &rules.organization else { return Ok(None) };
        self.text(name)?.map(OrganizationId::new).transpose().map_err(|_| invalid(name))
    }

    /// Where tokens speak of roles, one that does not has the least.
    fn role(&self, rules: &Rules) -> Result<Option<Role>, TokenProblem> {
        let Some(name) = &rules.role else { return Ok(None) };
        match self.text(name)? {
            None | Some("member" | "user") => Ok(Some(Role::Member)),
            Some("admin") => Ok(Some(Role::Admin)),
            Some(_) => Err(invalid(name)),
        }
    }

    fn text(&self, name: &str) -> Result<Option<&str>, TokenProblem> {
        self.0.get(name).map(|value| value.as_str().ok_or_else(|| invalid(name))).transpose()
    }

    /// A time in seconds since the Unix epoch, which may have a fraction (RFC 7519, section 2).
    fn time(&self, name: &str, round: Round) -> Result<Option<Timestamp>, TokenProblem> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let Json::Number(number) = value else { return Err(invalid(name)) };
        let seconds =
            number.as_i64().or_else(|| whole(number.as_f64()?, round)).ok_or_else(|| invalid(name))?;
        Timestamp::from_second(seconds).map(Some).map_err(|_| invalid(name))
    }
}

/// In which direction a fraction of a second is left out: never in the token's favour.
#[derive(Clone, Copy)]
enum Round {
    Down,
    Up,
}

#[allow(clippy::cast_possible_truncation)] // looked at before
fn whole(seconds: f64, round: Round) -> Option<i64> {
    let seconds = match round {
        Round::Down => seconds.floor(),
        Round::Up => seconds.ceil(),
    };
    (seconds.abs() < 1e15).then_some(seconds as i64)
}

fn missing(claim: &str) -> TokenProblem {
    TokenProblem::Missing { claim: claim.to_owned() }
}

fn invalid(claim: &str) -> TokenProblem {
    TokenProblem::Claim { claim: claim.to_owned() }
}
