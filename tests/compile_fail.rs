//! Mistakes that must not compile, and what the compiler says of them: each message points at the
//! mistake and teaches the fix. Beside them, in `pass`, what must compile, and run.
//!
//! `TRYBUILD=overwrite cargo test --test compile_fail` rewrites the messages; read what changed.

#[test]
fn mistakes_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/derive/*.rs");
    cases.compile_fail("tests/ui/session/*.rs");
}
