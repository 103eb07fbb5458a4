//! The README's code is the quick start that compiles and runs.

#![allow(clippy::unwrap_used)]

#[test]
fn the_readme_shows_the_quick_start() {
    let example = include_str!("../examples/quickstart.rs");
    let code = example.split_once("\n\n").unwrap().1;
    let readme = include_str!("../README.md");
    let shown = readme.split_once("```rust\n").unwrap().1.split_once("```").unwrap().0;
    assert!(code.len() > 1_000, "the quick start does something real");
    assert_eq!(shown, code, "the README's code and examples/quickstart.rs must be the same");
}
