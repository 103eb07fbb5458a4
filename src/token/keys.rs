//! Keys, each good for one algorithm, and the sets that they come in.

use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use serde_json::{Map, Value as Json};

use super::parts::{base64url, unique_members};
use crate::error::{Error, Result, TokenProblem};

/// RFC 7518, section 3.2: a key as long as the hash's output, or longer.
const SECRET_BYTES_MIN: usize = 32;
/// RFC 7518, section 3.3. The most is what the cryptography reads.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// The most of a public exponent that the cryptography reads.
const EXPONENT_MAX: u64 = (1 << 33) - 1;
/// The most keys of a set; those who publish sets have a handful.
const KEYS_MAX: usize = 100;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever verifies can sign too.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA on Ed25519.
    Ed25519,
}

impl Algorithm {
    /// Whether the `alg` of a token or of a key is this algorithm. RFC 9864 gives Ed25519 a name of its own.
    fn is_named(self, name: &str) -> bool {
        match self {
            Algorithm::Hs256 => name == "HS256",
            Algorithm::Rs256 => name == "RS256",
            Algorithm::Es256 => name == "ES256",
            Algorithm::Ed25519 => name == "EdDSA" || name == "Ed25519",
        }
    }

    fn implemented(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::Ed25519 => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A key and the one algorithm that it is used with, whatever a token says.
pub(super) struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    pub(super) fn hs256(secret: &[u8]) -> Result<Self> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(invalid(format!(
                "an HS256 secret has at least {SECRET_BYTES_MIN} bytes (RFC 7518, section 3.2), this one has {}",
                secret.len()
            )));
        }
        // With everybody's key as the secret, everybody could sign.
        if secret.windows(10).any(|window| window == b"-----BEGIN") {
            return Err(invalid("a PEM file is no secret: for a public key use `rs256_pem` and the like"));
        }
        Ok(Self { algorithm: Algorithm::Hs256, key: DecodingKey::from_secret(secret) })
    }

    pub(super) fn rs256_pem(pem: &[u8]) -> Result<Self> {
        check_label(pem, &["PUBLIC KEY", "RSA PUBLIC KEY"])?;
        let key = DecodingKey::from_rsa_pem(pem).map_err(|_| unreadable("an RSA"))?;
        let (modulus, exponent) = rsa_components(key.as_bytes()).ok_or_else(|| unreadable("an RSA"))?;
        Self::rsa(modulus, exponent)
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self> {
        let (modulus, exponent) = (trim(modulus), trim(exponent));
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !RSA_BITS.contains(&bits) {
            return Err(invalid(format!(
                "an RSA key has {} to {} bits (RFC 7518, section 3.3, asks for the former), this one has {bits}",
                RSA_BITS.start(),
                RSA_BITS.end()
            )));
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let size = exponent.iter().take(9).fold(0u128, |size, byte| size << 8 | u128::from(*byte));
        if !is_odd(modulus) || !is_odd(exponent) || !(3..=u128::from(EXPONENT_MAX)).contains(&size) {
            return Err(invalid(
                "this is no RSA key: its modulus and exponent have to be odd, and the latter 3 to 2^33",
            ));
        }
        Ok(Self { algorithm: Algorithm::Rs256, key: DecodingKey::from_rsa_raw_components(modulus, exponent) })
    }

    pub(super) fn es256_pem(pem: &[u8]) -> Result<Self> {
        check_label(pem, &["PUBLIC KEY"])?;
        let key = DecodingKey::from_ec_pem(pem).map_err(|_| unreadable("a P-256"))?;
        Self { algorithm: Algorithm::Es256, key }.tried("a P-256")
    }

    pub(super) fn ed25519_pem(pem: &[u8]) -> Result<Self> {
        check_label(pem, &["PUBLIC KEY"])?;
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| unreadable("an Ed25519"))?;
        Self::ed25519(key.as_bytes())
    }

    fn ed25519(point: &[u8]) -> Result<Self> {
        // The cryptography would take the first 32 bytes of more, and panic at less.
        if point.len() != 32 {
            return Err(unreadable("an Ed25519"));
        }
        Self { algorithm: Algorithm::Ed25519, key: DecodingKey::from_ed_der(point) }.tried("an Ed25519")
    }

    /// A point that is not on its curve is found when the key is made ready, so that is done once.
    fn tried(self, what: &str) -> Result<Self> {
        self.verifier().map_err(|_| unreadable(what))?;
        Ok(self)
    }

    /// Of the cryptography that this crate asks for, whichever another part of the program installs.
    fn verifier(&self) -> jsonwebtoken::errors::Result<Box<dyn JwtVerifier>> {
        (DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.implemented(), &self.key)
    }

    /// A key of a set. Its `kty` and `crv` say what it is good for; what else it says has to agree.
    fn from_jwk(jwk: &Map<String, Json>) -> Result<Self> {
        let text = |name: &str| jwk.get(name).and_then(Json::as_str);
        let bytes = |name: &'static str| {
            let missing = || invalid(format!("a key of a set has no valid {name:?}"));
            text(name).and_then(base64url).ok_or_else(missing)
        };
        let key = match (text("kty"), text("crv")) {
            (Some("oct"), _) => Self::hs256(&bytes("k")?)?,
            (Some("RSA"), _) => Self::rsa(&bytes("n")?, &bytes("e")?)?,
            (Some("EC"), Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(unreadable("a P-256"));
                }
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                let key = DecodingKey::from_ec_der(&point);
                Self { algorithm: Algorithm::Es256, key }.tried("a P-256")?
            }
            (Some("OKP"), Some("Ed25519")) => Self::ed25519(&bytes("x")?)?,
            _ => return Err(invalid("a key of a set is of a kind that is not supported")),
        };
        let agrees = |name: &str, agrees: &dyn Fn(&Json) -> bool| jwk.get(name).is_none_or(agrees);
        let verifies = |operations: &Json| {
            operations.as_array().is_some_and(|all| all.iter().any(|one| one.as_str() == Some("verify")))
        };
        if !agrees("alg", &|alg| alg.as_str().is_some_and(|name| key.algorithm.is_named(name)))
            || !agrees("use", &|purpose| purpose.as_str() == Some("sig"))
            || !agrees("key_ops", &verifies)
        {
            return Err(invalid(
                "a key of a set is not for signatures of its kind, by its `alg`, `use` or `key_ops`",
            ));
        }
        Ok(key)
    }

    /// Whether a token may be for this key at all.
    pub(super) fn is_for(&self, algorithm: &str) -> bool {
        self.algorithm.is_named(algorithm)
    }

    pub(super) fn verify(&self, signed: &str, signature: &str) -> Result<(), TokenProblem> {
        let signature = base64url(signature).ok_or(TokenProblem::Signature)?;
        let verifier = self.verifier().map_err(|_| TokenProblem::Signature)?;
        verifier.verify(signed.as_bytes(), &signature).map_err(|_| TokenProblem::Signature)
    }
}

/// Without the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// What a verifier has.
#[derive(Debug)]
pub(super) enum Keys {
    /// One, whatever key a token names.
    One(Key),
    /// A set, by key ids where they have them.
    Set(Vec<(Option<String>, Key)>),
}

impl Keys {
    /// The keys of a JWK set that are good for one of the algorithms. Others are left out, as RFC 7517, section 5, says.
    pub(super) fn from_jwk_set(json: &str, algorithms: &[Algorithm]) -> Result<Self> {
        let unreadable = || {
            invalid("this is no JWK set (RFC 7517, section 5): a JSON object with `keys`, no member twice")
        };
        unique_members(json.as_bytes()).map_err(|_| unreadable())?;
        let set: Map<String, Json> = serde_json::from_str(json).map_err(|_| unreadable())?;
        let listed = set.get("keys").and_then(Json::as_array).ok_or_else(unreadable)?;
        if listed.len() > KEYS_MAX {
            return Err(invalid(format!(
                "a JWK set has at most {KEYS_MAX} keys, this one has {}",
                listed.len()
            )));
        }
        let mut keys: Vec<(Option<String>, Key)> = Vec::new();
        let mut left_out = None;
        for jwk in listed.iter().filter_map(Json::as_object) {
            match Key::from_jwk(jwk) {
                Ok(key) if algorithms.contains(&key.algorithm) => {
                    let id = jwk.get("kid").and_then(Json::as_str).map(str::to_owned);
                    if id.is_some() && keys.iter().any(|(other, _)| *other == id) {
                        return Err(invalid("two keys of the set have the same `kid`"));
                    }
                    keys.push((id, key));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a key of a JWK set is left out");
                    left_out = Some(error);
                }
            }
        }
        if keys.is_empty() {
            return Err(left_out.unwrap_or_else(|| invalid("the set has no key for one of the algorithms")));
        }
        Ok(Keys::Set(keys))
    }

    /// The key that a token names, or the only one.
    pub(super) fn find(&self, id: Option<&str>) -> Result<&Key, TokenProblem> {
        match (self, id) {
            (Keys::One(key), _) => Ok(key),
            (Keys::Set(keys), None) => match keys.as_slice() {
                [(_, only)] => Ok(only),
                _ => Err(TokenProblem::UnnamedKey),
            },
            (Keys::Set(keys), Some(id)) => keys
                .iter()
                .find_map(|(of, key)| (of.as_deref() == Some(id)).then_some(key))
                .ok_or(TokenProblem::UnknownKey),
        }
    }
}

fn invalid(problem: impl Into<String>) -> Error {
    Error::invalid("key", problem)
}

fn unreadable(what: &str) -> Error {
    invalid(format!("this is no public key that can be read as {what} key"))
}

/// Private keys have no place in a verifier, and of a certificate somebody would have to check the rest.
fn check_label(pem: &[u8], labels: &[&str]) -> Result<()> {
    let text = String::from_utf8_lossy(pem);
    let label = text.trim_start().strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once("-----"));
    match label {
        Some((label, _)) if labels.contains(&label) => Ok(()),
        _ => Err(invalid(format!("a PEM file with the label {} is asked for", labels.join(" or ")))),
    }
}

/// Without leading zeros.
fn trim(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The modulus and the exponent of `RSAPublicKey` (RFC 8017, appendix A.1.1), a sequence of two integers in DER.
fn rsa_components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, &[]) = element(der, 0x30)? else { return None };
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, &[]) = element(rest, 0x02)? else { return None };
    Some((modulus, exponent))
}

/// The content of a DER element of a kind, and what comes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}
