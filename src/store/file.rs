//! A SQLite file of a store, and what opens it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::cipher::Cipher;

/// Whoever opens a connection has this, and no path alone: no connection lacks the key.
pub(crate) struct StoreFile {
    path: PathBuf,
    /// None: it is a plain file. Another one after the file was rekeyed.
    cipher: RwLock<Option<Arc<Cipher>>>,
}

impl StoreFile {
    pub(crate) fn new(path: &Path, cipher: Option<Arc<Cipher>>) -> Self {
        Self { path: path.to_owned(), cipher: RwLock::new(cipher) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn cipher(&self) -> Option<Arc<Cipher>> {
        self.cipher.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections are opened with another key from now on.
    #[cfg(feature = "sqlcipher")]
    pub(super) fn set_cipher(&self, cipher: Arc<Cipher>) {
        *self.cipher.write().unwrap_or_else(PoisonError::into_inner) = Some(cipher);
    }
}
