//! What a token has to say: times, audiences, issuers, organizations, roles.

use std::time::Duration;

use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tenantry::{Error, OrganizationSession, Role, StoreRole, TokenProblem, TokenVerifier, UserId};

use crate::support::{
    Kind, LEEWAY, NOON, Task, Ticket, World, claim, claims, claims_with, missing, organization,
};

/// Whether a token with these claims is taken, and why not.
fn outcome(world: &World, verifier: &TokenVerifier, claims: &Json) -> Option<TokenProblem> {
    let token = Kind::hs256().token(claims);
    match world.enter(verifier, &token) {
        Ok(_) => None,
        Err(Error::Token { reason }) => Some(reason),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_token_has_a_user_and_an_end() {
    let (world, verifier) = (World::new(), Kind::hs256().verifier);
    let check =
        |claims: Json, problem| assert_eq!(outcome(&world, &verifier, &claims), Some(problem), "{claims}");
    check(json!({ "exp": NOON + 60 }), missing("sub"));
    check(json!({ "sub": "ada" }), missing("exp"));
    check(json!({ "Sub": "ada", "SUB": "ada", "exp": NOON + 60 }), missing("sub"));
    for sub in [
        json!(""),
        json!("a\nb"),
        json!("a\u{0}"),
        json!("x".repeat(256)),
        json!(7),
        json!(null),
        json!(["ada"]),
    ] {
        check(json!({ "sub": sub, "exp": NOON + 60 }), claim("sub"));
    }
}

#[test]
fn times_are_numbers_within_reach() {
    let (world, verifier) = (World::new(), Kind::hs256().verifier);
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!((NOON + 60).to_string()),
            json!("2026-11-24T12:01:00Z"),
            json!(null),
            json!(true),
            json!([NOON + 60]),
            json!({}),
            json!(1e300),
            json!(-1e300),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(i64::MIN),
            // In milliseconds.
            json!((NOON + 60) * 1_000),
        ] {
            let claims = claims_with(&json!({ name: value }));
            assert_eq!(outcome(&world, &verifier, &claims), Some(claim(name)), "{claims}");
        }
    }
    for exp in [json!(0), json!(-1), json!(-1.5), json!(0.0), json!(-62_135_596_800_i64)] {
        let claims = claims_with(&json!({ "exp": exp }));
        assert_eq!(outcome(&world, &verifier, &claims), Some(TokenProblem::Expired), "{claims}");
    }
    // RFC 7519, section 2: a number may have a fraction, which is never in the token's favour.
    assert_eq!(outcome(&world, &verifier, &claims_with(&json!({ "exp": 1_795_521_630.9 }))), None);
    world.clock.set(1_795_521_660);
    let claims = claims_with(&json!({ "exp": 1_795_521_630.9 }));
    assert_eq!(outcome(&world, &verifier, &claims), Some(TokenProblem::Expired));
    let claims = claims_with(&json!({ "exp": NOON + 300, "nbf": 1_795_521_690.1 }));
    assert_eq!(outcome(&world, &verifier, &claims), Some(TokenProblem::NotYet));
}

/// The last moment at which a token is good, and the first, to the microsecond.
#[test]
fn leeway_has_edges() {
    let world = World::new();
    for leeway in [0, 1, LEEWAY, 300] {
        let verifier = Kind::hs256().verifier.leeway(Duration::from_secs(leeway.unsigned_abs())).unwrap();
        let end = (NOON + leeway) * 1_000_000;
        let token = claims_with(&json!({ "exp": NOON }));
        for (micros, expected) in
            [(-1, None), (0, Some(TokenProblem::Expired)), (1, Some(TokenProblem::Expired))]
        {
            world.clock.set_micros(end + micros);
            assert_eq!(outcome(&world, &verifier, &token), expected, "exp, leeway {leeway}, {micros}");
        }
        let begin = (NOON - leeway) * 1_000_000;
        for (name, problem) in [("nbf", TokenProblem::NotYet), ("iat", TokenProblem::Future)] {
            let token = claims_with(&json!({ "exp": NOON + 600, name: NOON }));
            for (micros, expected) in [(-1, Some(problem)), (0, None), (1, None)] {
                world.clock.set_micros(begin + micros);
                assert_eq!(outcome(&world, &verifier, &token), expected, "{name}, leeway {leeway}, {micros}");
            }
        }
    }
    world.clock.set(NOON + LEEWAY - 1);
    let verifier = Kind::hs256().verifier;
    assert_eq!(
        outcome(&world, &verifier, &claims_with(&json!({ "exp": NOON }))),
        None,
        "30 seconds by default"
    );
    world.clock.set(NOON + LEEWAY);
    let expired = Some(TokenProblem::Expired);
    assert_eq!(outcome(&world, &verifier, &claims_with(&json!({ "exp": NOON }))), expired);
    let too_much = Kind::hs256().verifier.leeway(Duration::from_millis(300_001));
    assert!(matches!(too_much, Err(Error::InvalidInput { .. })));
}

#[test]
fn audiences_are_compared_whole() {
    let world = World::new();
    let plain = Kind::hs256().verifier;
    let both = Kind::hs256().verifier.audience("tasks").audience("https://tasks.example/");
    let of = |aud: Json| claims_with(&json!({ "aud": aud }));
    for (claims, expected) in [
        (of(json!("tasks")), None),
        (of(json!("https://tasks.example/")), None),
        (of(json!(["other", "tasks"])), None),
        (claims(), Some(missing("aud"))),
        (of(json!("Tasks")), Some(TokenProblem::Audience)),
        (of(json!("tasks ")), Some(TokenProblem::Audience)),
        (of(json!("https://tasks.example")), Some(TokenProblem::Audience)),
        (of(json!("other")), Some(TokenProblem::Audience)),
        (of(json!("")), Some(TokenProblem::Audience)),
        (of(json!([])), Some(TokenProblem::Audience)),
        (of(json!(["other"])), Some(TokenProblem::Audience)),
        (of(json!(["tasks", 1])), Some(claim("aud"))),
        (of(json!([["tasks"]])), Some(claim("aud"))),
        (of(json!({ "tasks": true })), Some(claim("aud"))),
        (of(json!(null)), Some(claim("aud"))),
        (of(json!(1)), Some(claim("aud"))),
    ] {
        assert_eq!(outcome(&world, &both, &claims), expected, "{claims}");
    }
    // RFC 7519, section 4.1.3: whoever is not named must refuse, also who asks for no name.
    for aud in [json!("tasks"), json!(["tasks"]), json!([])] {
        assert_eq!(outcome(&world, &plain, &of(aud)), Some(TokenProblem::Audience));
    }
}

#[test]
fn issuers_are_compared_whole() {
    let world = World::new();
    let verifier = Kind::hs256().verifier.issuer("https://a.example").issuer("b");
    let of = |iss: Json| claims_with(&json!({ "iss": iss }));
    for (claims, expected) in [
        (of(json!("https://a.example")), None),
        (of(json!("b")), None),
        (claims(), Some(missing("iss"))),
        (of(json!("https://a.example/")), Some(TokenProblem::Issuer)),
        (of(json!("https://a.example.attacker.example")), Some(TokenProblem::Issuer)),
        (of(json!("")), Some(TokenProblem::Issuer)),
        (of(json!(["b"])), Some(claim("iss"))),
        (of(json!(null)), Some(claim("iss"))),
    ] {
        assert_eq!(outcome(&world, &verifier, &claims), expected, "{claims}");
    }
    assert_eq!(outcome(&world, &Kind::hs256().verifier, &of(json!("anybody"))), None, "none is asked for");
}

/// Where many share a signer, another's `sub` is somebody else: nothing of it gets into Ada's log.
#[test]
fn a_token_of_another_issuer_or_for_another_audience_says_nothing_in_anybodys_log() {
    let world = World::new();
    let verifier = Kind::hs256().verifier.issuer("a").audience("tasks");
    for claims in [
        json!({ "iss": "evil", "aud": "tasks" }),
        json!({ "iss": "a", "aud": "else" }),
        json!({ "iss": "evil", "aud": "tasks", "exp": 1 }),
    ] {
        assert!(outcome(&world, &verifier, &claims_with(&claims)).is_some());
    }
    assert_eq!(world.refusals(), Vec::<String>::new());
    assert!(
        outcome(&world, &verifier, &claims_with(&json!({ "iss": "a", "aud": "tasks", "exp": 1 }))).is_some()
    );
    assert_eq!(world.refusals().len(), 1);
}

#[test]
fn required_claims_have_to_be_there() {
    let world = World::new();
    let verifier = Kind::hs256().verifier.require("jti").require("iat");
    assert_eq!(outcome(&world, &verifier, &claims()), Some(missing("jti")));
    assert_eq!(outcome(&world, &verifier, &claims_with(&json!({ "jti": "1" }))), Some(missing("iat")));
    assert_eq!(outcome(&world, &verifier, &claims_with(&json!({ "jti": "1", "iat": NOON }))), None);
}

fn with_claims() -> Kind {
    let kind = Kind::hs256();
    let verifier = kind.verifier.clone().organization_claim("org").role_claim("role");
    Kind { verifier, ..kind }
}

#[test]
fn a_token_for_one_organization_reaches_no_other() {
    let (world, kind) = (World::new(), with_claims());
    let token = kind.token(&claims_with(&json!({ "org": "club" })));
    let session = world.enter(&kind.verifier, &token).unwrap();
    session
        .in_organization(&organization("club"))
        .unwrap()
        .insert(&Ticket { title: "Oil".to_owned() })
        .unwrap();
    for other in ["acme", "nowhere"] {
        let refused = session.clone().in_organization(&organization(other)).unwrap_err();
        assert_eq!(refused.to_string(), "access denied: the token is for another organization", "{other}");
    }
    assert_eq!(world.refusals().len(), 2);
    let direct = world.store.organization_session_from_token(&kind.verifier, &token).unwrap();
    assert_eq!((direct.organization().as_str(), direct.count::<Ticket>().unwrap()), ("club", 1));
    // One without reaches all that the records grant.
    let free = world.enter(&kind.verifier, &kind.token(&claims())).unwrap();
    free.in_organization(&organization("acme")).unwrap();
    free.in_organization(&organization("club")).unwrap();
}

#[test]
fn an_organization_of_a_token_is_one_of_its_user() {
    let (world, kind) = (World::new(), with_claims());
    let enter = |verifier: &TokenVerifier, more: Json| {
        world.store.organization_session_from_token(verifier, &kind.token(&claims_with(&more)))
    };
    for org in ["nowhere", "acme"] {
        let refused = enter(&kind.verifier, json!({ "sub": "grace", "org": org }));
        assert!(matches!(refused, Err(Error::NotMember { .. })), "{org}: {refused:?}");
    }
    for (more, problem) in [
        (json!({}), missing("org")),
        (json!({ "org": null }), claim("org")),
        (json!({ "org": "" }), claim("org")),
        (json!({ "org": ["acme"] }), claim("org")),
        (json!({ "org": "a\u{0}" }), claim("org")),
    ] {
        let refused = enter(&kind.verifier, more.clone());
        assert!(
            matches!(&refused, Err(Error::Token { reason }) if *reason == problem),
            "{more}: {refused:?}"
        );
    }
    let unnamed = enter(&Kind::hs256().verifier, json!({ "org": "acme" }));
    assert!(matches!(unnamed, Err(Error::InvalidInput { .. })));
}

#[test]
fn a_role_of_a_token_only_narrows() {
    let (world, kind) = (World::new(), with_claims());
    let role = |verifier: &TokenVerifier, org: &str, more: Json| {
        let mut claims = claims_with(&json!({ "org": org }));
        if let Some(role) = more.get("role") {
            claims["role"] = role.clone();
        }
        let session = world.store.organization_session_from_token(verifier, &kind.token(&claims))?;
        session.role()
    };
    // Ada is an admin of `acme` and a member of `club`.
    for (org, token, expected) in [
        ("acme", json!({ "role": "admin" }), Role::Admin),
        ("acme", json!({ "role": "member" }), Role::Member),
        ("acme", json!({ "role": "user" }), Role::Member),
        ("acme", json!({}), Role::Member),
        ("club", json!({ "role": "admin" }), Role::Member),
        ("club", json!({ "role": "member" }), Role::Member),
        ("club", json!({}), Role::Member),
    ] {
        assert_eq!(role(&kind.verifier, org, token.clone()).unwrap(), expected, "{org} {token}");
    }
    for token in [json!("Admin"), json!("owner"), json!(""), json!(["admin"]), json!(true), json!(null)] {
        let refused = role(&kind.verifier, "acme", json!({ "role": token }));
        assert!(matches!(&refused, Err(Error::Token { reason }) if *reason == claim("role")), "{token}");
    }
    // Where tokens do not speak of roles, the records alone do.
    let silent = Kind::hs256().verifier.organization_claim("org");
    assert_eq!(role(&silent, "acme", json!({ "role": "member" })).unwrap(), Role::Admin);
    // The role is asked for anew, not kept.
    let token = kind.token(&claims_with(&json!({ "org": "acme", "role": "admin" })));
    let session: OrganizationSession =
        world.store.organization_session_from_token(&kind.verifier, &token).unwrap();
    world.store.organizations().set_role(&organization("acme"), &world.ada, Role::Member).unwrap();
    assert_eq!(session.role().unwrap(), Role::Member);
}

#[test]
fn an_organizations_admin_is_one_by_both() {
    let (world, kind) = (World::new(), with_claims());
    let manage = |org: &str, more: Json| {
        let session = world.enter(&kind.verifier, &kind.token(&claims_with(&more))).unwrap();
        session.in_organization(&organization(org)).unwrap().manage()
    };
    manage("acme", json!({ "role": "admin" })).unwrap().members(None, 10).unwrap();
    for (org, more) in [
        ("acme", json!({})),
        ("acme", json!({ "role": "member" })),
        ("club", json!({ "role": "admin" })),
        ("club", json!({})),
    ] {
        let refused = manage(org, more.clone());
        assert!(matches!(refused, Err(Error::AccessDenied { .. })), "{org} {more}: {refused:?}");
    }
    assert_eq!(world.refusals().len(), 4);
    // Where tokens do not speak of roles, the records alone do.
    let silent = world.enter(&Kind::hs256().verifier, &kind.token(&claims())).unwrap();
    silent.in_organization(&organization("acme")).unwrap().manage().unwrap();
    assert!(silent.in_organization(&organization("club")).unwrap().manage().is_err());
}

#[test]
fn a_stores_admin_is_one_by_both() {
    let (world, kind) = (World::new(), with_claims());
    let admin = |verifier: &TokenVerifier, more: Json| {
        world.store.admin_from_token(verifier, &kind.token(&claims_with(&more)), "a test")
    };
    let denied = |verifier: &TokenVerifier, more: Json| {
        let refused = admin(verifier, more.clone());
        assert!(matches!(refused, Err(Error::AccessDenied { .. })), "{more}: {refused:?}");
    };
    denied(&kind.verifier, json!({ "role": "admin" }));
    world.store.users().set_role(&world.ada, StoreRole::Admin).unwrap();
    assert_eq!(admin(&kind.verifier, json!({ "role": "admin" })).unwrap().admin(), &world.ada);
    denied(&kind.verifier, json!({}));
    denied(&kind.verifier, json!({ "role": "member" }));
    denied(&kind.verifier, json!({ "role": "admin", "org": "acme" }));
    denied(&kind.verifier, json!({ "sub": "grace", "role": "admin" }));
    // A verifier that knows no roles makes no administrators.
    denied(&Kind::hs256().verifier, json!({ "role": "admin" }));
    let unreasoned = world.store.admin_from_token(
        &kind.verifier,
        &kind.token(&claims_with(&json!({ "role": "admin" }))),
        "",
    );
    assert!(matches!(unreasoned, Err(Error::InvalidInput { .. })));
    let forger = Kind { key: EncodingKey::from_secret(&[9; 32]), ..with_claims() };
    let forged = forger.token(&claims_with(&json!({ "role": "admin" })));
    let refused = world.store.admin_from_token(&kind.verifier, &forged, "a test");
    assert!(matches!(refused, Err(Error::Token { reason: TokenProblem::Signature })));
    assert_eq!(world.refusals().len(), 5);
    world.store.users().set_role(&world.ada, StoreRole::User).unwrap();
    denied(&kind.verifier, json!({ "role": "admin" }));
}

/// A token for one organization changes no membership in another.
#[test]
fn invitations_of_other_organizations_are_out_of_reach() {
    let (world, kind) = (World::new(), with_claims());
    let grace = UserId::new("grace").unwrap();
    for org in ["acme", "club"] {
        world.store.organizations().invite(&organization(org), &grace, Role::Member, None).unwrap();
    }
    let token = kind.token(&claims_with(&json!({ "sub": "grace", "org": "club" })));
    let session = world.enter(&kind.verifier, &token).unwrap();
    assert!(matches!(session.accept_invitation(&organization("acme")), Err(Error::AccessDenied { .. })));
    assert!(matches!(session.decline_invitation(&organization("acme")), Err(Error::AccessDenied { .. })));
    assert_eq!(world.store.users().invitations(&grace, None, 10).unwrap().len(), 2);
    session.accept_invitation(&organization("club")).unwrap();
}

#[test]
fn a_token_says_nothing_of_others_records() {
    let (world, kind) = (World::new(), Kind::hs256());
    let ada = world.enter(&kind.verifier, &kind.token(&claims())).unwrap();
    let id = ada.insert(&Task { title: "Dig".to_owned() }).unwrap();
    let grace = world.enter(&kind.verifier, &kind.token(&claims_with(&json!({ "sub": "grace" })))).unwrap();
    assert!(matches!(grace.get(id), Err(Error::NotFound { .. })));
    // Nor of a user whose id is nearly the same.
    for sub in ["Ada", "ada ", " ada", "ada\u{301}", "аda"] {
        let entered = world.enter(&kind.verifier, &kind.token(&claims_with(&json!({ "sub": sub }))));
        assert!(matches!(entered, Err(Error::UnknownUser { .. })), "{sub:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Against the rule as RFC 7519 puts it, in seconds.
    #[test]
    fn times_decide_as_the_rule_says(
        exp in -400i64..400, nbf in prop::option::of(-400i64..400), iat in prop::option::of(-400i64..400), leeway in 0i64..=300
    ) {
        thread_local!(static WORLD: World = World::new());
        let mut claims = claims_with(&json!({ "exp": NOON + exp }));
        if let Some(nbf) = nbf { claims["nbf"] = json!(NOON + nbf); }
        if let Some(iat) = iat { claims["iat"] = json!(NOON + iat); }
        let verifier = Kind::hs256().verifier.leeway(Duration::from_secs(leeway.unsigned_abs())).unwrap();
        let good = exp + leeway > 0 && nbf.is_none_or(|nbf| nbf <= leeway) && iat.is_none_or(|iat| iat <= leeway);
        let taken = WORLD.with(|world| outcome(world, &verifier, &claims).is_none());
        prop_assert_eq!(taken, good);
    }

    /// Whatever is signed with another key: nobody is let in.
    #[test]
    fn claims_of_anybody_else_are_nothing(sub in ".{0,20}", secret in prop::collection::vec(any::<u8>(), 32..64)) {
        thread_local!(static WORLD: World = World::new());
        let forger = Kind { key: EncodingKey::from_secret(&secret), ..Kind::hs256() };
        let token = forger.token(&claims_with(&json!({ "sub": sub })));
        let entered = WORLD.with(|world| world.enter(&forger.verifier, &token).map(drop));
        let refused = matches!(entered, Err(Error::Token { reason: TokenProblem::Signature }));
        prop_assert!(refused);
    }
}
