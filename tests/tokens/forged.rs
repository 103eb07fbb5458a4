//! Tokens that nobody signed, or not as they say. Names in comments are those under which the attacks are known.

use proptest::prelude::*;
use serde_json::json;
use tenantry::{Algorithm, Error, TokenProblem, TokenVerifier};

use crate::support::{
    Kind, P256_PUBLIC, RSA_PUBLIC, SECRET, World, base64url, bytes_of, claims, claims_with,
};

#[test]
fn a_good_token_of_each_kind_gives_its_users_session() {
    let world = World::new();
    for kind in Kind::all() {
        let session = world.enter(&kind.verifier, &kind.token(&claims())).unwrap();
        assert_eq!(session.user().as_str(), "ada", "{}", kind.name);
        assert_eq!(session.count::<crate::support::Task>().unwrap(), 0);
    }
    assert!(world.refusals().is_empty());
}

/// `alg=none`, in every spelling, with every signature.
#[test]
fn unsigned_tokens_are_refused() {
    let world = World::new();
    for kind in Kind::all() {
        let signature = kind.token(&claims()).rsplit('.').next().unwrap().to_owned();
        for algorithm in [
            json!("none"),
            json!("None"),
            json!("NONE"),
            json!("nOnE"),
            json!("none "),
            json!("\u{0}none"),
            json!(""),
            json!("HS256\u{0}"),
            json!("hs256"),
            json!("Hs256"),
            json!("null"),
        ] {
            let message = format!(
                "{}.{}",
                base64url(json!({ "alg": algorithm, "typ": "JWT" }).to_string().as_bytes()),
                base64url(claims().to_string().as_bytes())
            );
            for signature in ["", &signature, "AA", "e30"] {
                let token = format!("{message}.{signature}");
                assert_eq!(world.refused(&kind.verifier, &token), TokenProblem::Algorithm, "{algorithm}");
            }
        }
        // Not even a text, though signed with the right key.
        for algorithm in [json!(null), json!(0), json!(["HS256"]), json!({ "alg": "HS256" }), json!(true)] {
            let token = kind.signed(&json!({ "alg": algorithm }), &claims());
            let expected = TokenProblem::Header { member: "alg" };
            assert_eq!(world.refused(&kind.verifier, &token), expected, "{algorithm}");
        }
        let without = kind.signed(&json!({ "typ": "JWT" }), &claims());
        assert_eq!(world.refused(&kind.verifier, &without), TokenProblem::Algorithm);
    }
}

/// Key confusion: the public key as the secret of an HMAC, which a library takes that believes the header.
#[test]
fn a_public_key_is_no_secret() {
    let world = World::new();
    let secrets: [&[u8]; 3] = [RSA_PUBLIC, RSA_PUBLIC.trim_ascii(), P256_PUBLIC];
    for secret in secrets {
        let forger = Kind { key: jsonwebtoken::EncodingKey::from_secret(secret), ..Kind::hs256() };
        let token = forger.token(&claims());
        for kind in [Kind::rs256(), Kind::es256(), Kind::ed25519()] {
            assert_eq!(world.refused(&kind.verifier, &token), TokenProblem::Algorithm);
        }
        // With the algorithm of the key in the header, the signature is still an HMAC.
        for kind in [Kind::rs256(), Kind::es256(), Kind::ed25519()] {
            let token = forger.signed(&json!({ "alg": kind.name }), &claims());
            assert_eq!(world.refused(&kind.verifier, &token), TokenProblem::Signature);
        }
        assert!(
            matches!(TokenVerifier::hs256(secret), Err(Error::InvalidInput { .. })),
            "it would be forgeable"
        );
    }
}

/// A signature of one algorithm under the name of another, for each pair.
#[test]
fn the_algorithm_is_the_keys() {
    let world = World::new();
    let kinds = Kind::all();
    for signer in &kinds {
        for verifier in kinds.iter().filter(|verifier| verifier.name != signer.name) {
            let honest = signer.token(&claims());
            assert_eq!(world.refused(&verifier.verifier, &honest), TokenProblem::Algorithm);
            let lying = signer.signed(&json!({ "alg": verifier.name }), &claims());
            assert_eq!(world.refused(&verifier.verifier, &lying), TokenProblem::Signature);
        }
    }
    // Others of the same family.
    let others =
        [("HS256", ["HS384", "HS512"]), ("RS256", ["RS384", "PS256"]), ("ES256", ["ES384", "ES256K"])];
    for (name, others) in others {
        let kind = Kind::all().into_iter().find(|kind| kind.name == name).unwrap();
        for other in others {
            let token = kind.signed(&json!({ "alg": other }), &claims());
            assert_eq!(world.refused(&kind.verifier, &token), TokenProblem::Algorithm, "{other}");
        }
    }
    // RFC 9864 gives EdDSA on this curve a name of its own.
    let kind = Kind::ed25519();
    world.enter(&kind.verifier, &kind.signed(&json!({ "alg": "Ed25519" }), &claims())).unwrap();
}

/// CVE-2022-21449, "psychic signatures", and other signatures that are none.
#[test]
fn signatures_of_zeros_and_other_forms_are_refused() {
    let world = World::new();
    // The order of P-256.
    let order: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| {
            let text = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
            u8::from_str_radix(&text[at..at + 2], 16).unwrap()
        })
        .collect();
    let one = [vec![0; 31], vec![1]].concat();
    for kind in Kind::all() {
        let token = kind.token(&claims());
        let (message, good) = token.rsplit_once('.').unwrap();
        let good = bytes_of(good);
        let mut forged: Vec<Vec<u8>> = vec![
            Vec::new(),
            vec![0; 64],
            vec![0; 32],
            vec![0; 96],
            vec![0; 256],
            vec![0xff; 64],
            [order.as_slice(), &order].concat(),
            [one.as_slice(), &[0; 32]].concat(),
            [vec![0; 32], one.clone()].concat(),
            [one.as_slice(), &order].concat(),
            // `SEQUENCE { INTEGER 0, INTEGER 0 }`, which is how X.509 writes such a signature.
            vec![0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00],
        ];
        forged.push([good.as_slice(), &[0]].concat());
        forged.push([&[0], good.as_slice()].concat());
        forged.push(good[..good.len() - 1].to_vec());
        forged.push(good[1..].to_vec());
        forged.push(good.iter().rev().copied().collect());
        for signature in forged {
            let token = format!("{message}.{}", base64url(&signature));
            assert_eq!(world.refused(&kind.verifier, &token), TokenProblem::Signature, "{}", kind.name);
        }
    }
}

#[test]
fn a_token_cut_off_anywhere_is_refused() {
    let world = World::new();
    for kind in Kind::all() {
        let token = kind.token(&claims());
        for length in 0..token.len() {
            world.refused(&kind.verifier, &token[..length]);
            world.refused(&kind.verifier, &token[token.len() - length..]);
        }
        for more in ["=", "==", ".", "A", "AAAA", "\n", " ", "\u{0}", ".e30", ".e30.e30", "é"] {
            world.refused(&kind.verifier, &format!("{token}{more}"));
            world.refused(&kind.verifier, &format!("{more}{token}"));
        }
    }
}

#[test]
fn a_token_with_one_bit_turned_is_refused() {
    let world = World::new();
    let mut tried = 0;
    for kind in Kind::all() {
        let token = kind.token(&claims());
        // HMACs are quick; of the others one bit of each byte.
        let bits = if kind.name == "HS256" { 0..8 } else { 1..2 };
        for position in 0..token.len() {
            for bit in bits.clone() {
                let mut bytes = token.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                world.refused(&kind.verifier, &changed);
                tried += 1;
            }
        }
    }
    assert!(tried > 1_500, "{tried}");
    assert!(world.refusals().is_empty(), "a forged token writes to nobody's log");
}

/// Every form of the same claims but the one that was signed.
#[test]
fn no_part_can_be_exchanged() {
    let world = World::new();
    for kind in Kind::all() {
        let (mine, other) = (kind.token(&claims()), kind.token(&claims_with(&json!({ "sub": "grace" }))));
        let mine: Vec<&str> = mine.split('.').collect();
        let other: Vec<&str> = other.split('.').collect();
        let mixed = format!("{}.{}.{}", mine[0], other[1], mine[2]);
        assert_eq!(world.refused(&kind.verifier, &mixed), TokenProblem::Signature);
        let spaced =
            base64url(json!({ "alg": kind.name, "typ": "JWT" }).to_string().replace(',', ", ").as_bytes());
        let respaced = format!("{spaced}.{}.{}", mine[1], mine[2]);
        assert_eq!(world.refused(&kind.verifier, &respaced), TokenProblem::Signature);
        // Detached content (RFC 7515, appendix F).
        let detached = format!("{}..{}", mine[0], mine[2]);
        assert_eq!(world.refused(&kind.verifier, &detached), TokenProblem::Signature);
    }
}

#[test]
fn headers_that_ask_for_more_are_refused() {
    let world = World::new();
    let kind = Kind::hs256();
    let jwk = json!({ "kty": "oct", "k": base64url(SECRET) });
    let refused = |more: serde_json::Value| {
        let mut header = json!({ "alg": "HS256", "typ": "JWT" });
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        world.refused(&kind.verifier, &kind.signed(&header, &claims()))
    };
    for (more, member) in [
        (json!({ "crit": ["exp"] }), "crit"),
        (json!({ "crit": [] }), "crit"),
        (json!({ "crit": ["b64"], "b64": false }), "crit"),
        (json!({ "b64": false }), "b64"),
        (json!({ "b64": true }), "b64"),
        // CVE-2018-0114: a key that comes with the token.
        (json!({ "jwk": jwk }), "jwk"),
        (json!({ "jku": "https://attacker.example/keys" }), "jku"),
        (json!({ "x5u": "https://attacker.example/chain" }), "x5u"),
        (json!({ "x5c": ["MIIB"] }), "x5c"),
    ] {
        assert_eq!(refused(more.clone()), TokenProblem::Header { member }, "{more}");
    }
    for more in [json!({ "enc": "A256GCM" }), json!({ "zip": "DEF" }), json!({ "cty": "JWT" })] {
        assert_eq!(refused(more.clone()), TokenProblem::Encrypted, "{more}");
    }
    for kid in [json!(1), json!(null), json!(["a"]), json!({})] {
        assert_eq!(refused(json!({ "kid": kid })), TokenProblem::Header { member: "kid" });
    }
    // Names of a certificate that are only compared, never fetched.
    let header = json!({ "alg": "HS256", "x5t": "abc", "x5t#S256": "abc", "kid": "any" });
    world.enter(&kind.verifier, &kind.signed(&header, &claims())).unwrap();
}

/// "Substitution" and "cross-JWT confusion" (RFC 8725, sections 2.8 and 3.11).
#[test]
fn tokens_of_another_type_are_refused() {
    let world = World::new();
    let kind = Kind::hs256();
    let token = |typ: serde_json::Value| kind.signed(&json!({ "alg": "HS256", "typ": typ }), &claims());
    for typ in ["JWT", "jwt", "application/jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        world.enter(&kind.verifier, &token(json!(typ))).unwrap();
    }
    world.enter(&kind.verifier, &kind.signed(&json!({ "alg": "HS256" }), &claims())).unwrap();
    let others = [
        json!("logout+jwt"),
        json!("secevent+jwt"),
        json!("dpop+jwt"),
        json!("JOSE"),
        json!("JWE"),
        json!(""),
    ];
    for typ in others.into_iter().chain([
        json!(null),
        json!(1),
        json!(["JWT"]),
        json!("application/application/jwt"),
    ]) {
        assert_eq!(world.refused(&kind.verifier, &token(typ.clone())), TokenProblem::Type, "{typ}");
    }
    let only = kind.verifier.clone().token_type("at+jwt");
    world.enter(&only, &token(json!("application/AT+jwt"))).unwrap();
    assert_eq!(world.refused(&only, &token(json!("JWT"))), TokenProblem::Type);
    let untyped = kind.signed(&json!({ "alg": "HS256" }), &claims());
    assert_eq!(world.refused(&only, &untyped), TokenProblem::Type);
}

#[test]
fn what_is_no_token_is_refused() {
    let world = World::new();
    let kind = Kind::hs256();
    let header = r#"{"alg":"HS256"}"#;
    for (token, problem) in [
        (String::new(), TokenProblem::Malformed),
        ("..".to_owned(), TokenProblem::Malformed),
        ("...".to_owned(), TokenProblem::Malformed),
        ("a.b".to_owned(), TokenProblem::Malformed),
        ("e30.e30.e30.e30".to_owned(), TokenProblem::Malformed),
        ("e30.e30.e30.e30.e30.e30".to_owned(), TokenProblem::Malformed),
        // JSON Web Encryption has five parts.
        ("e30.e30.e30.e30.e30".to_owned(), TokenProblem::Encrypted),
        // Nested: a token where the claims should be.
        (kind.signed_texts(header, &kind.token(&claims())), TokenProblem::Malformed),
        (kind.signed_texts("[]", "{}"), TokenProblem::Malformed),
        (kind.signed_texts("{", "{}"), TokenProblem::Malformed),
        (kind.signed_texts(header, ""), TokenProblem::Malformed),
        (kind.signed_texts(header, "null"), TokenProblem::Malformed),
        (kind.signed_texts(header, "[]"), TokenProblem::Malformed),
        (kind.signed_texts(header, r#""ada""#), TokenProblem::Malformed),
        (kind.signed_texts(header, r#"{"sub":"ada","exp":1e400}"#), TokenProblem::Malformed),
        (kind.signed_texts(header, r#"{"sub":"ada","exp":NaN}"#), TokenProblem::Malformed),
        (kind.signed_texts(header, r#"{"sub":"ada"}{"sub":"ada"}"#), TokenProblem::Malformed),
        (kind.signed_texts(header, &"[".repeat(3_000)), TokenProblem::Malformed),
    ] {
        assert_eq!(world.refused(&kind.verifier, &token), problem, "{token}");
    }
    // The JSON forms (RFC 7515, section 7.2) are not tokens of this kind.
    let token = kind.token(&claims());
    let parts: Vec<&str> = token.split('.').collect();
    let json = json!({ "protected": parts[0], "payload": parts[1], "signature": parts[2] }).to_string();
    assert_eq!(world.refused(&kind.verifier, &json), TokenProblem::Malformed);
    world.refused(&kind.verifier, &format!("Bearer {token}"));
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    let world = World::new();
    let kind = Kind::hs256();
    let exp = crate::support::NOON + 60;
    let good = format!(r#"{{"sub":"ada","exp":{exp}}}"#);
    world.enter(&kind.verifier, &kind.signed_texts(r#"{"alg":"HS256"}"#, &good)).unwrap();
    for (header, claims) in [
        (r#"{"alg":"none","alg":"HS256"}"#, good.clone()),
        (r#"{"alg":"HS256","alg":"HS256"}"#, good.clone()),
        (r#"{"alg":"HS256","x":{"a":1,"a":2}}"#, good.clone()),
        (r#"{"alg":"HS256"}"#, format!(r#"{{"sub":"grace","sub":"ada","exp":{exp}}}"#)),
        (r#"{"alg":"HS256"}"#, format!(r#"{{"sub":"ada","exp":1,"exp":{exp}}}"#)),
        (r#"{"alg":"HS256"}"#, format!(r#"{{"sub":"ada","s\u0075b":"grace","exp":{exp}}}"#)),
        (r#"{"alg":"HS256"}"#, format!(r#"{{"sub":"ada","exp":{exp},"x":[{{"a":1,"a":1}}]}}"#)),
    ] {
        let token = kind.signed_texts(header, &claims);
        assert_eq!(world.refused(&kind.verifier, &token), TokenProblem::Duplicate, "{header} {claims}");
    }
}

#[test]
fn a_token_is_read_up_to_a_length() {
    let world = World::new();
    let kind = Kind::hs256();
    let padded = |length: usize| kind.token(&claims_with(&json!({ "padding": "x".repeat(length) })));
    let longest = (0..8_192).rev().map(padded).find(|token| token.len() <= 8_192).unwrap();
    assert!(longest.len() > 8_188, "{}", longest.len());
    world.enter(&kind.verifier, &longest).unwrap();
    let longer = padded(7_000);
    assert!(longer.len() > 8_192);
    assert_eq!(world.refused(&kind.verifier, &longer), TokenProblem::TooLong { max: 8_192 });
    let endless = "a".repeat(100_000_000);
    assert_eq!(world.refused(&kind.verifier, &endless), TokenProblem::TooLong { max: 8_192 });
}

/// Only whoever has the key can write to a user's log, and once with each token.
#[test]
fn a_refused_token_is_noted_if_it_is_real() {
    let world = World::new();
    let kind = Kind::hs256();
    let forger = Kind { key: jsonwebtoken::EncodingKey::from_secret(&[9; 32]), ..Kind::hs256() };
    let expired = claims_with(&json!({ "exp": crate::support::NOON - 60 }));
    for claims in [&claims(), &expired] {
        assert_eq!(world.refused(&kind.verifier, &forger.token(claims)), TokenProblem::Signature);
    }
    assert!(world.refusals().is_empty(), "forged");
    for _ in 0..3 {
        assert_eq!(world.refused(&kind.verifier, &kind.token(&expired)), TokenProblem::Expired);
    }
    let noted = world.refusals();
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert!(noted[0].contains("not_allowed") && noted[0].contains("it has expired"), "{noted:?}");
    let other = kind.token(&claims_with(&json!({ "aud": "another" })));
    assert_eq!(world.refused(&kind.verifier, &other), TokenProblem::Audience);
    let younger = kind.token(&claims_with(&json!({ "exp": crate::support::NOON - 59 })));
    assert_eq!(world.refused(&kind.verifier, &younger), TokenProblem::Expired);
    // One for somebody else speaks of somebody else.
    assert_eq!(world.refusals().len(), 2);
    // Of nobody who is known.
    let stranger = claims_with(&json!({ "sub": "stranger", "exp": 0 }));
    assert_eq!(world.refused(&kind.verifier, &kind.token(&stranger)), TokenProblem::Expired);
    assert_eq!(world.refusals().len(), 2);
    assert!(world.store.check().unwrap().is_clean());
}

#[test]
fn users_who_are_not_there_or_disabled_are_refused() {
    let world = World::new();
    let kind = Kind::hs256();
    let stranger = kind.token(&claims_with(&json!({ "sub": "stranger" })));
    assert!(matches!(world.enter(&kind.verifier, &stranger), Err(Error::UnknownUser { .. })));
    let session = world.enter(&kind.verifier, &kind.token(&claims())).unwrap();
    world.store.users().disable(&world.ada).unwrap();
    assert!(matches!(session.count::<crate::support::Task>(), Err(Error::Disabled { .. })));
    assert!(matches!(world.enter(&kind.verifier, &kind.token(&claims())), Err(Error::Disabled { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_is_a_token(text in prop_oneof![".*", "[A-Za-z0-9_.=-]{0,200}", "(e30|eyJhbGciOiJIUzI1NiJ9)[.][A-Za-z0-9_-]*[.][A-Za-z0-9_-]*"]) {
        let kind = Kind::hs256();
        let world = cached();
        let refused = matches!(world.enter(&kind.verifier, &text), Err(Error::Token { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn no_change_of_a_token_is_one(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, "[A-Za-z0-9_.-]"), 1..6)
    ) {
        let kind = Kind::hs256();
        let token = kind.token(&claims());
        let mut changed: Vec<char> = token.chars().collect();
        for (position, edit, with) in edits {
            let position = position.index(changed.len());
            let with = with.chars().next().unwrap();
            match edit {
                0 => changed[position] = with,
                1 => changed.insert(position, with),
                _ => { changed.remove(position); }
            }
        }
        let changed: String = changed.into_iter().collect();
        prop_assume!(changed != token);
        let refused = matches!(cached().enter(&kind.verifier, &changed), Err(Error::Token { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn any_text_is_a_set_or_none(text in prop_oneof![
        ".*",
        r#"\{"keys":\[(\{"kty":"(RSA|EC|OKP|oct)","(crv|alg|use|kid)":"(P-256|Ed25519|HS256|sig|a)","(x|n|k)":"[A-Za-z0-9_-]{0,50}","(y|e)":"[A-Za-z0-9_-]{0,50}"\},?){0,3}\]\}"#
    ]) {
        // Answered without a panic.
        let all = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519];
        let made = TokenVerifier::jwk_set(&text, &all);
        let answered = matches!(made, Ok(_) | Err(Error::InvalidInput { .. }));
        prop_assert!(answered);
    }
}

/// One store for all cases, which write nothing.
fn cached() -> &'static World {
    static WORLD: std::sync::OnceLock<World> = std::sync::OnceLock::new();
    WORLD.get_or_init(World::new)
}
