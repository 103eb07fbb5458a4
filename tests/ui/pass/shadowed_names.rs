//! The expansions do not stumble over what a crate calls its own things.

#![allow(dead_code, non_snake_case)]

use tenantry::{Choice, Entity};

struct Result;
struct Option;
struct String;
struct Vec;
struct Column;
struct Value;
trait Default {}
trait From {}
trait Into {}
trait Iterator {}
fn Ok() {}
fn Err() {}
fn Some() {}

#[derive(Entity)]
#[entity(index(kind))]
struct Note {
    text: ::std::string::String,
    kind: ::std::option::Option<Kind>,
    tags: ::std::option::Option<::std::vec::Vec<i64>>,
    #[entity(skip)]
    cache: u8,
}

#[derive(Choice)]
enum Kind {
    Idea,
    Quote,
}

/// Fields whose constants have the names of the trait's items.
#[derive(Entity)]
struct Product {
    name: ::std::string::String,
    tenancy: ::std::string::String,
    encode: ::std::string::String,
    decode: ::std::string::String,
    encoder: ::std::string::String,
    decoder: ::std::string::String,
}

fn main() {
    assert_eq!(Note::definition().columns().len(), 3);
    assert_eq!(Product::NAME.name(), "name");
    assert_eq!(<Product as Entity>::ENTITY_NAME, "product");
}
