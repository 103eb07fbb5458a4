//! Which keys are taken, sets of them, and their replacement.

use jsonwebtoken::jwk::Jwk;
use serde_json::{Value as Json, json};
use tenantry::{Algorithm, Error, TokenProblem, TokenVerifier};

use crate::support::{
    ED25519, ED25519_PUBLIC, ED25519_X, Kind, P256, P256_PUBLIC, RSA, RSA_PUBLIC, SECRET, World, base64url,
    claims,
};

const ALL: [Algorithm; 4] = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519];

fn jwk(kind: &Kind, more: &Json) -> Json {
    let mut jwk = match kind.name {
        "EdDSA" => json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_X }),
        _ => serde_json::to_value(Jwk::from_encoding_key(&kind.key, kind.algorithm).unwrap()).unwrap(),
    };
    jwk.as_object_mut().unwrap().remove("alg");
    for (name, value) in more.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn set(keys: &[Json]) -> String {
    json!({ "keys": keys }).to_string()
}

#[track_caller]
fn problem(made: tenantry::Result<TokenVerifier>) -> String {
    match made {
        Err(Error::InvalidInput { problem, .. }) => problem,
        other => panic!("it should be refused: {other:?}"),
    }
}

#[test]
fn weak_secrets_are_refused() {
    for length in [0, 1, 31] {
        assert!(problem(TokenVerifier::hs256(vec![7; length])).contains("at least 32 bytes"), "{length}");
    }
    for length in [32, 64, 1_000] {
        TokenVerifier::hs256(vec![7; length]).unwrap();
    }
    for pem in [RSA, RSA_PUBLIC, P256, P256_PUBLIC, ED25519, ED25519_PUBLIC] {
        assert!(problem(TokenVerifier::hs256(pem)).contains("no secret"));
    }
}

#[test]
fn rsa_keys_have_a_size() {
    TokenVerifier::rs256_pem(RSA_PUBLIC).unwrap();
    let pkcs1 = TokenVerifier::rs256_pem(include_bytes!("keys/rsa.pkcs1.pub.pem")).unwrap();
    World::new().enter(&pkcs1, &Kind::rs256().token(&claims())).unwrap();
    let weak = problem(TokenVerifier::rs256_pem(include_bytes!("keys/rsa-1024.pub.pem")));
    assert!(weak.contains("2048 to 4096") && weak.contains("1024"), "{weak}");
    let long = problem(TokenVerifier::rs256_pem(include_bytes!("keys/rsa-5120.pub.pem")));
    assert!(long.contains("5120"), "{long}");
    let n = jwk(&Kind::rs256(), &json!({}))["n"].as_str().unwrap().to_owned();
    let of = |n: &str, e: &[u8]| {
        let key = json!({ "kty": "RSA", "n": n, "e": base64url(e) });
        TokenVerifier::jwk_set(&set(&[key]), &[Algorithm::Rs256])
    };
    of(&n, &[1, 0, 1]).unwrap();
    of(&n, &[0, 0, 1, 0, 1]).unwrap();
    // With an exponent of 1 every message is its own signature.
    for e in [&[1][..], &[0], &[], &[2], &[1, 0, 0], &[3, 0, 0, 0, 1], &[0xff; 20]] {
        assert!(problem(of(&n, e)).contains("exponent"), "{e:?}");
    }
    for (n, told) in [("", "has 0"), ("AQAB", "has 17"), ("AAAAAAAA", "has 0"), ("!", "no valid \"n\"")] {
        assert!(problem(of(n, &[1, 0, 1])).contains(told), "{n}");
    }
    let even = base64url(&[0x80; 256]);
    assert!(problem(of(&even, &[1, 0, 1])).contains("odd"));
}

#[test]
fn only_public_keys_of_the_kind_are_taken() {
    type Make = fn(&[u8]) -> tenantry::Result<TokenVerifier>;
    let makers: [(&str, Make, &[u8]); 3] = [
        ("rs256", |pem| TokenVerifier::rs256_pem(pem), RSA_PUBLIC),
        ("es256", |pem| TokenVerifier::es256_pem(pem), P256_PUBLIC),
        ("ed25519", |pem| TokenVerifier::ed25519_pem(pem), ED25519_PUBLIC),
    ];
    let files: [&[u8]; 10] = [
        RSA,
        RSA_PUBLIC,
        P256,
        P256_PUBLIC,
        ED25519,
        ED25519_PUBLIC,
        include_bytes!("keys/p384.pub.pem"),
        include_bytes!("keys/secp256k1.pub.pem"),
        include_bytes!("keys/p256.cert.pem"),
        SECRET,
    ];
    for (name, make, own) in makers {
        for file in files {
            assert_eq!(make(file).is_ok(), file == own, "{name}: {}", String::from_utf8_lossy(file));
        }
        // Cut off anywhere; only the last line's end may be missing.
        for length in 0..own.trim_ascii_end().len() {
            let _ = problem(make(&own[..length]));
        }
        // Any byte changed: another key, or none, and no panic.
        for position in 0..own.len() {
            let mut changed = own.to_vec();
            changed[position] ^= 1;
            let _ = make(&changed);
        }
    }
}

#[test]
fn a_set_has_keys_by_name() {
    let world = World::new();
    let kinds = Kind::all();
    let keys: Vec<Json> =
        kinds.iter().map(|kind| jwk(kind, &json!({ "kid": format!("the {}", kind.name) }))).collect();
    let verifier = TokenVerifier::jwk_set(&set(&keys), &ALL).unwrap();
    for kind in &kinds {
        let header = |kid: &str| json!({ "alg": kind.name, "kid": kid });
        let token = kind.signed(&header(&format!("the {}", kind.name)), &claims());
        world.enter(&verifier, &token).unwrap();
        // A key is good for its own algorithm, whatever a token says.
        for other in kinds.iter().filter(|other| other.name != kind.name) {
            let confused = kind.signed(&header(&format!("the {}", other.name)), &claims());
            assert_eq!(world.refused(&verifier, &confused), TokenProblem::Algorithm);
        }
        assert_eq!(world.refused(&verifier, &kind.token(&claims())), TokenProblem::UnnamedKey);
    }
    let kind = Kind::hs256();
    for kid in [
        "",
        "the hs256",
        "../../../../dev/null",
        "/dev/null",
        "' UNION SELECT 'secret",
        "the HS256\u{0}",
        "| sleep 10",
        "*",
        "0",
    ] {
        let token = kind.signed(&json!({ "alg": "HS256", "kid": kid }), &claims());
        assert_eq!(world.refused(&verifier, &token), TokenProblem::UnknownKey, "{kid:?}");
        // The attack needs a key that the attacker knows, such as an empty file.
        let empty = Kind { key: jsonwebtoken::EncodingKey::from_secret(b""), ..Kind::hs256() };
        let token = empty.signed(&json!({ "alg": "HS256", "kid": kid }), &claims());
        assert_eq!(world.refused(&verifier, &token), TokenProblem::UnknownKey, "{kid:?}");
    }
}

#[test]
fn a_set_of_one_needs_no_name() {
    let world = World::new();
    for kind in Kind::all() {
        let named = TokenVerifier::jwk_set(&set(&[jwk(&kind, &json!({ "kid": "a" }))]), &ALL).unwrap();
        world.enter(&named, &kind.token(&claims())).unwrap();
        let other = kind.signed(&json!({ "alg": kind.name, "kid": "b" }), &claims());
        assert_eq!(world.refused(&named, &other), TokenProblem::UnknownKey);
        let unnamed = TokenVerifier::jwk_set(&set(&[jwk(&kind, &json!({}))]), &ALL).unwrap();
        world.enter(&unnamed, &kind.token(&claims())).unwrap();
        assert_eq!(world.refused(&unnamed, &other), TokenProblem::UnknownKey);
    }
}

#[test]
fn what_a_key_says_of_itself_has_to_agree() {
    let world = World::new();
    for kind in Kind::all() {
        let of = |more: Json| TokenVerifier::jwk_set(&set(&[jwk(&kind, &more)]), &ALL);
        for more in [
            json!({ "alg": kind.name, "use": "sig" }),
            json!({ "key_ops": ["verify"] }),
            json!({ "key_ops": ["sign", "verify"], "x5t": "abc", "unknown": 1 }),
        ] {
            world.enter(&of(more).unwrap(), &kind.token(&claims())).unwrap();
        }
        for more in [
            json!({ "alg": "none" }),
            json!({ "alg": "RS512" }),
            json!({ "alg": "RSA-OAEP-256" }),
            json!({ "alg": "" }),
            json!({ "alg": null }),
            json!({ "alg": [kind.name] }),
            json!({ "use": "enc" }),
            json!({ "use": "SIG" }),
            json!({ "use": null }),
            json!({ "key_ops": ["sign"] }),
            json!({ "key_ops": [] }),
            json!({ "key_ops": "verify" }),
            json!({ "alg": kind.name, "use": "enc", "key_ops": ["verify"] }),
        ] {
            assert!(problem(of(more.clone())).contains("`use`"), "{}: {more}", kind.name);
        }
        // Of a kind that is not asked for.
        for other in ALL {
            let made = TokenVerifier::jwk_set(&set(&[jwk(&kind, &json!({}))]), &[other]);
            let own = matches!(
                (kind.name, other),
                ("HS256", Algorithm::Hs256)
                    | ("RS256", Algorithm::Rs256)
                    | ("ES256", Algorithm::Es256)
                    | ("EdDSA", Algorithm::Ed25519)
            );
            assert_eq!(made.is_ok(), own, "{} {other:?}", kind.name);
        }
    }
    assert!(TokenVerifier::jwk_set(&set(&[jwk(&Kind::hs256(), &json!({}))]), &[]).is_err());
}

/// RFC 7517, section 5: what is not understood is left out, and the rest is good.
#[test]
fn bad_keys_of_a_set_are_left_out() {
    let world = World::new();
    let kind = Kind::es256();
    let good = jwk(&kind, &json!({ "kid": "good" }));
    let x = good["x"].as_str().unwrap();
    let bad = [
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": x }),
        json!({ "kty": "EC", "crv": "P-256", "x": x }),
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": base64url(&[0; 32]), "y": base64url(&[0; 32]) }),
        json!({ "kty": "EC", "crv": "P-256", "x": base64url(&[0xff; 32]), "y": base64url(&[0xff; 32]) }),
        json!({ "kty": "EC", "crv": "P-384", "x": x, "y": x }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": x, "y": good["y"] }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(&[0; 33]) }),
        json!({ "kty": "OKP", "crv": "X25519", "x": ED25519_X }),
        json!({ "kty": "OKP", "crv": "Ed448", "x": ED25519_X }),
        json!({ "kty": "oct", "k": base64url(&[7; 31]) }),
        json!({ "kty": "oct" }),
        json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "PQC" }),
        json!({ "kty": 1 }),
        json!({}),
        json!("key"),
        json!(null),
    ];
    for bad in &bad {
        assert!(TokenVerifier::jwk_set(&set(std::slice::from_ref(bad)), &ALL).is_err(), "{bad}");
        let verifier = TokenVerifier::jwk_set(&set(&[bad.clone(), good.clone()]), &ALL).unwrap();
        let token = kind.signed(&json!({ "alg": "ES256", "kid": "good" }), &claims());
        world.enter(&verifier, &token).unwrap();
    }
    let twice = [good.clone(), jwk(&Kind::ed25519(), &json!({ "kid": "good" }))];
    assert!(problem(TokenVerifier::jwk_set(&set(&twice), &ALL)).contains("same `kid`"));
    let many = vec![jwk(&kind, &json!({})); 101];
    assert!(problem(TokenVerifier::jwk_set(&set(&many), &ALL)).contains("at most 100"));
    for text in ["", "[]", "{}", "null", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#] {
        let _ = problem(TokenVerifier::jwk_set(text, &ALL));
    }
    let x_twice = set(&[good]).replace(r#""x":"#, r#""x":"AA","x":"#);
    let _ = problem(TokenVerifier::jwk_set(&x_twice, &ALL));
}

#[test]
fn a_set_is_replaced_while_it_is_in_use() {
    let world = World::new();
    let (old, new) = (Kind::es256(), Kind::ed25519());
    let token = |kind: &Kind, kid: &str| kind.signed(&json!({ "alg": kind.name, "kid": kid }), &claims());
    let (first, second) = (jwk(&old, &json!({ "kid": "1" })), jwk(&new, &json!({ "kid": "2" })));
    let verifier = TokenVerifier::jwk_set(&set(std::slice::from_ref(&first)), &ALL).unwrap();
    let clone = verifier.clone().audience("other");
    let before = world.enter(&verifier, &token(&old, "1")).unwrap();
    assert_eq!(
        world.refused(&verifier, &token(&new, "2")),
        TokenProblem::UnknownKey,
        "the app fetches the set again"
    );
    verifier.replace_jwk_set(&set(&[first, second.clone()])).unwrap();
    world.enter(&verifier, &token(&old, "1")).unwrap();
    world.enter(&verifier, &token(&new, "2")).unwrap();
    verifier.replace_jwk_set(&set(&[second])).unwrap();
    assert_eq!(world.refused(&verifier, &token(&old, "1")), TokenProblem::UnknownKey);
    assert_eq!(world.refused(&clone, &token(&old, "1")), TokenProblem::UnknownKey, "clones share their keys");
    before.count::<crate::support::Task>().unwrap();
    // What is no set changes nothing.
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AA"}]}"#] {
        assert!(verifier.replace_jwk_set(bad).is_err());
    }
    world.enter(&verifier, &token(&new, "2")).unwrap();
    let single = Kind::hs256().verifier;
    let refused = single.replace_jwk_set(&set(&[jwk(&new, &json!({}))]));
    assert!(matches!(refused, Err(Error::InvalidInput { .. })), "a pinned key stays");
}

#[test]
fn debug_shows_no_key() {
    let secret = "0123456789abcdef0123456789abcdef";
    let shown = format!("{:?}", TokenVerifier::hs256(secret).unwrap().audience("tasks"));
    assert!(shown.contains("Hs256") && shown.contains("tasks"), "{shown}");
    let rsa = jwk(&Kind::rs256(), &json!({ "kid": "1" }));
    let n = rsa["n"].as_str().unwrap().to_owned();
    let oct = json!({ "kty": "oct", "kid": "2", "k": base64url(secret.as_bytes()) });
    let set = format!("{:?} {:#?}", TokenVerifier::jwk_set(&set(&[rsa, oct]), &ALL), Kind::rs256().verifier);
    for shown in [shown, set] {
        // Neither as text nor as a list of bytes, in decimal or hexadecimal.
        for key in [secret, &base64url(secret.as_bytes()), &n, "48, 49, 50", "0x30", "303132"] {
            assert!(!shown.contains(key), "{shown}");
        }
    }
    let error = TokenVerifier::hs256("hunter2").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
