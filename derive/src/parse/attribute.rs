//! The items between the parentheses of `#[entity(…)]` and `#[choice(…)]`.

use proc_macro2::{Ident, Span, TokenTree};
use quote::ToTokens;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, LitStr, Path, Result, Token};

use super::Errors;

/// Calls `item` for each item of each attribute called `name`. An item with an error does not
/// hide the items behind it.
pub(super) fn read(
    attributes: &[Attribute],
    name: &str,
    errors: &mut Errors,
    mut item: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>,
) {
    for attribute in attributes.iter().filter(|a| a.path().is_ident(name)) {
        let read = attribute.parse_nested_meta(|meta| {
            if let Err(error) = item(&meta) {
                errors.push(error);
                while !at_end(meta.input) {
                    meta.input.parse::<TokenTree>()?;
                }
            }
            Ok(())
        });
        if let Err(error) = read {
            errors.push(error);
        }
    }
}

/// Whether nothing more of an item follows.
pub(super) fn at_end(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

/// What may be said once, and where it was said.
pub(super) struct Once<T>(Option<(Path, T)>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Once<T> {
    pub(super) fn set(&mut self, meta: &ParseNestedMeta<'_>, value: Result<T>) -> Result<()> {
        if self.0.is_some() {
            return Err(meta.error(format!("`{}` is given twice: keep one", name(meta))));
        }
        self.0 = Some((meta.path.clone(), value?));
        Ok(())
    }

    pub(super) fn get(&self) -> Option<&(Path, T)> {
        self.0.as_ref()
    }

    pub(super) fn place(&self) -> Option<&Path> {
        self.get().map(|(place, _)| place)
    }

    pub(super) fn value(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

/// The item's name.
pub(super) fn name(meta: &ParseNestedMeta<'_>) -> String {
    meta.path.to_token_stream().to_string()
}

/// An item without a value.
pub(super) fn flag(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if at_end(meta.input) {
        Ok(())
    } else {
        Err(meta.error(format!("write `{}` alone, without a value", name(meta))))
    }
}

/// An item `name = value`; `like` is an example of the whole.
pub(super) fn value<T: Parse>(meta: &ParseNestedMeta<'_>, like: &str) -> Result<T> {
    let message = format!("write it like {like}");
    let value = meta.value().map_err(|_| meta.error(&message))?;
    let place = value.span();
    value.parse().map_err(|_| syn::Error::new(place, message))
}

/// An item `name = word`, where each word stands for the name of a variant.
pub(super) fn word(meta: &ParseNestedMeta<'_>, words: &[(&str, &str)]) -> Result<Ident> {
    let name = name(meta);
    let known = list(words.iter().map(|(word, _)| word));
    let like = format!("`{name} = {}`; the words are {known}, without quotes", words[0].0);
    let word: Ident = value(meta, &like)?;
    match words.iter().find(|(known, _)| word == known) {
        Some((_, variant)) => Ok(Ident::new(variant, Span::call_site())),
        None => Err(syn::Error::new_spanned(word, format!("`{name}` is one of {known}"))),
    }
}

/// The item `crate = "path"`.
pub(super) fn path(meta: &ParseNestedMeta<'_>) -> Result<Path> {
    value::<LitStr>(meta, "`crate = \"path::to::tenantry\"`")?.parse_with(Path::parse_mod_style)
}

/// Where the crate is, if no item says otherwise.
pub(super) fn default_path() -> Path {
    syn::parse_quote!(::tenantry)
}

pub(super) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str]) -> syn::Error {
    meta.error(format!("unknown attribute `{}`; the attributes here are {}", name(meta), list(known)))
}

/// Names for a message: "`a`, `b`".
pub(super) fn list(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
