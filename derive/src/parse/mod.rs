//! From syntax to models.
//!
//! Every mistake is reported, at its own place and with its fix; none hides another.

mod attribute;
mod case;
mod choice;
mod entity;
mod field;

pub(crate) use choice::Choice;
pub(crate) use entity::{Direction, Entity, Index};
pub(crate) use field::{Column, Field, Kind};

use std::fmt::Display;

use quote::ToTokens;
use syn::{Generics, LitStr};

/// Everything that is wrong so far.
#[derive(Default)]
struct Errors(Option<syn::Error>);

impl Errors {
    fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    fn at(&mut self, place: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(place, message));
    }

    fn or<T>(self, model: T) -> syn::Result<T> {
        self.0.map_or(Ok(model), Err)
    }
}

fn refuse_generics(generics: &Generics, what: &str, errors: &mut Errors) {
    if !generics.params.is_empty() {
        let message = format!("{what} has no generics: remove them, and write the types in their place");
        errors.at(&generics.params, message);
    }
    if let Some(clause) = &generics.where_clause {
        errors.at(clause, format!("{what} has no `where`: remove it"));
    }
}

/// Names with a leading underscore are the library's.
fn refuse_reserved(name: &LitStr, attribute: &str, errors: &mut Errors) {
    if name.value().starts_with('_') {
        let message =
            format!("names that begin with `_` are reserved: give another with `{attribute} = \"…\"`");
        errors.at(name, message);
    }
}
