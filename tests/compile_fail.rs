//! Mistakes that must not compile, and what the compiler says of them: each message points at the
//! mistake and teaches the fix. Beside them, in `pass`, what must compile, and run.
//!
//! The compiler's own words change between its versions, so the messages are compared on the one
//! that they were written with. That the mistakes do not compile on any version is shown by the
//! examples in the documentation of `tenantry::tenancy`.
//!
//! `TRYBUILD=overwrite cargo test --test compile_fail` rewrites the messages; read what changed.

use std::process::Command;

/// The compiler that the expected messages are of.
const MESSAGES_OF: &str = "rustc 1.95.";

#[test]
fn mistakes_do_not_compile() {
    if cfg!(feature = "sqlcipher") {
        println!(
            "skipped: types are the same with SQLCipher, which would be compiled once more for this, with OpenSSL"
        );
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version =
        Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    if version.starts_with(MESSAGES_OF.as_bytes()) {
        cases.compile_fail("tests/ui/derive/*.rs");
        cases.compile_fail("tests/ui/session/*.rs");
    } else {
        println!(
            "skipped: the messages are those of {MESSAGES_OF}x and this is {}",
            String::from_utf8_lossy(&version).trim()
        );
    }
}
