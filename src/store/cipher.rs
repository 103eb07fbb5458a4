//! Encryption at rest: the key of a file, and what it does to a connection.
//!
//! SQLCipher does the work, page by page. A passphrase costs it a quarter of a million rounds of HMAC for each
//! connection; here it costs them once for each opening of a store, and connections are given the key that comes
//! out, in the form that SQLCipher documents for keys that were derived elsewhere.

#[cfg(feature = "sqlcipher")]
pub use keys::Key;
#[cfg(feature = "sqlcipher")]
pub(crate) use keys::{Cipher, rekey};

use crate::error::{Error, Result};
use crate::schema::FileKey;

/// There is none in a program without the feature `sqlcipher`.
#[cfg(not(feature = "sqlcipher"))]
#[derive(Debug)]
pub(crate) enum Cipher {}

#[cfg(not(feature = "sqlcipher"))]
impl Cipher {
    pub(super) fn unlock(&self, _connection: &rusqlite::Connection) -> rusqlite::Result<()> {
        match *self {}
    }

    pub(super) fn of(_key: &FileKey) -> Result<Self> {
        Err(Error::schema(
            "the store's partitions are encrypted, and this program was built without the feature `sqlcipher`",
        ))
    }
}

/// A random key for files of which another file keeps it.
pub(super) fn new_key() -> Result<FileKey> {
    let mut key = FileKey([0; 32]);
    fill(&mut key.0)?;
    Ok(key)
}

/// The system's randomness, never [`Builder::randomness`](crate::Builder::randomness): that is for tests.
fn fill(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::io("the system's randomness", error))
}

#[cfg(feature = "sqlcipher")]
mod keys {
    use std::fmt;
    use std::path::Path;
    use std::sync::Once;

    use rusqlite::{Connection, OpenFlags};
    use sha2::Sha512;
    use zeroize::Zeroizing;

    use super::fill;
    use crate::error::{Error, Result};
    use crate::schema::FileKey;
    use crate::store::connection;
    use crate::store::file::StoreFile;

    /// SQLCipher 4's own setting, so that other tools open the file with the passphrase
    /// (<https://www.zetetic.net/sqlcipher/sqlcipher-api/#kdf_iter>).
    const ROUNDS: u32 = 256_000;
    const SALT_BYTES: usize = 16;

    /// What a store is encrypted with: give it to [`Builder::encryption_key`](crate::Builder::encryption_key).
    ///
    /// It has no text: `Debug` shows nothing of it, and no error, log or trace ever does. The bytes that it
    /// holds are wiped when it is dropped; copies that SQLite makes while it opens a connection are not.
    ///
    /// ```
    /// use tenantry::{Key, Store};
    ///
    /// # fn main() -> tenantry::Result<()> {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let key = || Key::raw([7; 32]); // from the system's keychain
    /// Store::builder().encryption_key(key()).open(&path)?.close()?;
    /// assert!(!std::fs::read(&path).unwrap().starts_with(b"SQLite format 3"));
    /// assert!(Store::builder().encryption_key(key()).open(&path).is_ok());
    /// assert!(Store::builder().encryption_key(Key::passphrase("a guess")).open(&path).is_err());
    /// # Ok(()) }
    /// ```
    pub struct Key(Secret);

    enum Secret {
        Passphrase(Zeroizing<String>),
        Raw(Zeroizing<[u8; 32]>),
    }

    impl fmt::Debug for Key {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Key(..)")
        }
    }

    impl Key {
        /// A passphrase. The key is derived from it and a salt in the file, by PBKDF2-HMAC-SHA512 with 256,000
        /// rounds as SQLCipher 4 does it, once for each opening of a store; other tools made with SQLCipher 4
        /// open the file with it too. An empty one is refused when a store is opened.
        pub fn passphrase(passphrase: impl Into<String>) -> Self {
            Self(Secret::Passphrase(Zeroizing::new(passphrase.into())))
        }

        /// A key of 256 random bits, for instance one that the system's keychain holds: nothing is derived, so
        /// it opens at once, and nobody guesses it.
        #[must_use]
        pub fn raw(key: [u8; 32]) -> Self {
            Self(Secret::Raw(Zeroizing::new(key)))
        }

        /// One that nobody keeps.
        pub(in crate::store) fn random() -> Result<Self> {
            let mut key = Zeroizing::new([0; 32]);
            fill(&mut *key)?;
            Ok(Self(Secret::Raw(key)))
        }

        /// What a new file is to be encrypted with.
        pub(in crate::store) fn for_new_file(&self) -> Result<Cipher> {
            let mut salt = [0; SALT_BYTES];
            fill(&mut salt)?;
            Ok(Cipher { key: self.derived(&salt)?, salt: Some(salt) })
        }

        /// What a file is encrypted with, if this is its key.
        pub(in crate::store) fn for_file(&self, path: &Path) -> Result<Cipher> {
            let salt = match &self.0 {
                Secret::Raw(_) => [0; SALT_BYTES],
                Secret::Passphrase(_) => salt_of(path)?,
            };
            // The salt is in the file.
            Ok(Cipher { key: self.derived(&salt)?, salt: None })
        }

        fn derived(&self, salt: &[u8; SALT_BYTES]) -> Result<Zeroizing<[u8; 32]>> {
            let mut key = Zeroizing::new([0; 32]);
            match &self.0 {
                Secret::Raw(raw) => key.copy_from_slice(&**raw),
                Secret::Passphrase(passphrase) if passphrase.is_empty() => {
                    return Err(Error::invalid("encryption key", "an empty passphrase protects nothing"));
                }
                Secret::Passphrase(passphrase) => {
                    pbkdf2::pbkdf2_hmac::<Sha512>(passphrase.as_bytes(), salt, ROUNDS, &mut *key);
                }
            }
            Ok(key)
        }
    }

    /// The salt that a file begins with, read by SQLite: closing a handle of our own would drop its locks.
    fn salt_of(path: &Path) -> Result<[u8; SALT_BYTES]> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // Any key will do: nothing is decrypted.
        Cipher { key: Zeroizing::new([0; 32]), salt: None }.unlock(&connection)?;
        let digits: String = connection.query_row("PRAGMA cipher_salt", [], |row| row.get(0))?;
        let mut salt = [0; SALT_BYTES];
        for (byte, two) in salt.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let text = std::str::from_utf8(two).unwrap_or_default();
            *byte = u8::from_str_radix(text, 16).map_err(|error| Error::io("the salt of the file", error))?;
        }
        Ok(salt)
    }

    /// The key of a file, ready for its connections.
    pub(crate) struct Cipher {
        key: Zeroizing<[u8; 32]>,
        /// Of a new file; any other one holds it itself.
        salt: Option<[u8; SALT_BYTES]>,
    }

    impl fmt::Debug for Cipher {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Cipher(..)")
        }
    }

    impl Cipher {
        // Where the feature is off this fails.
        #[allow(clippy::unnecessary_wraps)]
        pub(in crate::store) fn of(key: &FileKey) -> Result<Self> {
            Ok(Self { key: Zeroizing::new(key.0), salt: None })
        }

        /// Gives a connection the key: before anything else, and it reads nothing yet.
        pub(in crate::store) fn unlock(&self, connection: &Connection) -> rusqlite::Result<()> {
            be_quiet(connection);
            connection.pragma_update(None, "key", self.text().as_str())
        }

        /// As SQLCipher takes it: `x'…'`, the key in hexadecimal digits, and the salt where the file has none yet.
        fn text(&self) -> Zeroizing<String> {
            let mut text = Zeroizing::new(String::with_capacity(99));
            text.push_str("x'");
            for byte in self.key.iter().chain(self.salt.iter().flatten()) {
                for digit in [byte >> 4, byte & 15] {
                    text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                }
            }
            text.push('\'');
            text
        }
    }

    /// SQLCipher writes its own log to standard error, of every wrong key. It is one for the whole process, and
    /// what it says our errors say.
    fn be_quiet(connection: &Connection) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            if let Err(error) = connection.pragma_update(None, "cipher_log_level", "NONE") {
                tracing::warn!(%error, "SQLCipher keeps its own log");
            }
        });
    }

    /// Encrypts all pages of a file anew, in one transaction, on a connection of its own: afterwards it would write
    /// with the new key even if nothing was committed. Nobody else uses the file meanwhile. SQLCipher does not
    /// say whether it succeeded: look at the file.
    pub(crate) fn rekey(file: &StoreFile, new: &Cipher) -> Result<()> {
        let connection = connection::rekeyer(file)?;
        // The file keeps its salt, which SQLCipher reads from its beginning, where it is written at the next checkpoint.
        debug_assert!(new.salt.is_none());
        connection.pragma_update(None, "rekey", new.text().as_str())?;
        connection.close().map_err(|(_, error)| Error::from(error))
    }
}
