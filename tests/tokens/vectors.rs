//! Published examples: RFC 7515, RFC 7519, and the JOSE cookbook (RFC 7520), from `../shared`.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tenantry::{Algorithm, Error, TokenProblem, TokenVerifier};

use crate::support::{World, missing};

const ALL: [Algorithm; 4] = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519];

/// A file of `../shared/data`, or none after saying so.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    if !path.exists() {
        println!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

fn json_of(path: &Path) -> Json {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_examples_of_the_rfcs() {
    let Some(path) = shared("rfc_vectors.json") else { return };
    let vectors = json_of(&path);
    let world = World::new();
    let signed = &vectors["rfc7515_A1_rfc7519_3_1_HS256"];
    let token = signed["token"].as_str().unwrap();
    let set = json!({ "keys": [signed["jwk"]] }).to_string();
    let verifier = TokenVerifier::jwk_set(&set, &[Algorithm::Hs256]).unwrap();
    // It ended in 2011; then, it names no user.
    assert_eq!(world.refused(&verifier, token), TokenProblem::Expired);
    world.clock.set(signed["exp"].as_i64().unwrap() - 1);
    assert_eq!(world.refused(&verifier, token), missing("sub"));
    let changed = token.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Ei");
    assert_ne!(changed, token);
    assert_eq!(world.refused(&verifier, &changed), TokenProblem::Signature);
    let unsigned = vectors["rfc7515_A5_rfc7519_6_1_unsecured_alg_none"]["token"].as_str().unwrap();
    assert_eq!(world.refused(&verifier, unsigned), TokenProblem::Algorithm);
}

/// None of them is a JSON Web Token; those that we can verify get as far as that.
#[test]
fn the_examples_of_the_cookbook() {
    let Some(folder) = shared("jose_cookbook") else { return };
    let world = World::new();
    let mut tried = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let example = json_of(&file.unwrap().path());
        let title = example["title"].as_str().unwrap();
        let mut tokens = Vec::new();
        let output = &example["output"];
        tokens.extend(output["compact"].as_str().map(str::to_owned));
        for form in ["json", "json_flat"] {
            tokens.extend(output.get(form).map(Json::to_string));
        }
        let texts = ["protected", "payload", "signature"]
            .map(|name| output["json_flat"][name].as_str().unwrap_or_default());
        tokens.push(texts.join("."));
        let keys = match &example["input"]["key"] {
            Json::Array(several) => several.clone(),
            one => vec![one.clone()],
        };
        let verifier = TokenVerifier::jwk_set(&json!({ "keys": keys }).to_string(), &ALL);
        let Ok(verifier) = verifier else {
            assert!(keys.iter().all(|key| key["crv"] == "P-521"), "{title}: {verifier:?}");
            continue;
        };
        for token in tokens {
            world.refused(&verifier, &token);
            tried += 1;
        }
        if title.contains("HMAC-SHA2 Integrity Protection") {
            let compact = output["compact"].as_str().unwrap();
            assert_eq!(world.refused(&verifier, compact), TokenProblem::Malformed, "signed, but no claims");
            let mut forged = compact.to_owned();
            forged.replace_range(
                forged.len() - 8..forged.len() - 7,
                if &forged[forged.len() - 8..forged.len() - 7] == "A" { "B" } else { "A" },
            );
            assert_eq!(world.refused(&verifier, &forged), TokenProblem::Signature);
            tried += 1;
        }
    }
    assert!(tried >= 10, "{tried}");
    println!("{tried} refused");
}

/// RFC 8037, appendix A.4: a signature of Ed25519 over what are no claims.
#[test]
fn the_example_of_ed25519() {
    let set = json!({ "keys": [{
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let verifier = TokenVerifier::jwk_set(&set.to_string(), &ALL).unwrap();
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let world = World::new();
    assert_eq!(world.refused(&verifier, token), TokenProblem::Malformed, "signed, but no claims");
    assert_eq!(world.refused(&verifier, &token.replace("RXh", "RXg")), TokenProblem::Signature);
    assert!(matches!(world.enter(&verifier, ""), Err(Error::Token { .. })));
}
