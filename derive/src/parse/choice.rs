//! The model of `#[derive(Choice)]`.

use std::collections::HashMap;

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitStr, Path, Result, Variant, Visibility};

use super::Errors;
use super::attribute::{self, Once};
use super::case::Case;

/// An enum that stands in one column.
pub(crate) struct Choice {
    pub(crate) krate: Path,
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    /// Each variant and its text.
    pub(crate) variants: Vec<(Ident, LitStr)>,
}

impl Choice {
    pub(crate) fn parse(input: DeriveInput) -> Result<Self> {
        let Data::Enum(data) = input.data else {
            let problem =
                "a choice is an enum of plain variants; for a struct with named fields, derive `Entity`";
            return Err(Error::new_spanned(&input.ident, problem));
        };
        let mut errors = Errors::default();
        super::refuse_generics(&input.generics, "a choice", &mut errors);
        if data.variants.is_empty() {
            errors.at(&input.ident, "a choice needs something to choose: write at least one variant");
        }
        let attributes = Attributes::read(&input.attrs, &mut errors);
        let case = attributes.rename_all.value().unwrap_or_default();
        let variants: Vec<_> =
            data.variants.iter().map(|variant| parse_variant(variant, case, &mut errors)).collect();
        refuse_same_texts(&variants, &mut errors);
        errors.or(Self {
            krate: attributes.krate.value().unwrap_or_else(attribute::default_path),
            ident: input.ident,
            vis: input.vis,
            variants,
        })
    }
}

fn parse_variant(variant: &Variant, case: Case, errors: &mut Errors) -> (Ident, LitStr) {
    if !matches!(variant.fields, Fields::Unit) {
        errors.at(
            &variant.fields,
            "the variants of a choice have no fields: remove them, or store the enum with `#[entity(nested)]` and serde",
        );
    }
    let mut rename = Once::default();
    attribute::read(&variant.attrs, "choice", errors, |meta| match attribute::name(meta).as_str() {
        "rename" => rename.set(meta, attribute::value(meta, "`rename = \"text\"`")),
        _ => Err(attribute::unknown(meta, &["rename"])),
    });
    let ident = &variant.ident;
    let text =
        rename.value().unwrap_or_else(|| LitStr::new(&case.apply(&ident.unraw().to_string()), ident.span()));
    (ident.clone(), text)
}

fn refuse_same_texts(variants: &[(Ident, LitStr)], errors: &mut Errors) {
    let mut seen = HashMap::new();
    for (variant, text) in variants {
        if let Some(other) = seen.insert(text.value(), variant) {
            let message =
                format!("`{other}` is stored as {:?} too: give one of them `rename = \"…\"`", text.value());
            errors.at(text, message);
        }
    }
}

/// What `#[choice(…)]` on an enum says.
#[derive(Default)]
struct Attributes {
    krate: Once<Path>,
    rename_all: Once<Case>,
}

impl Attributes {
    fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        attribute::read(attributes, "choice", errors, |meta| match attribute::name(meta).as_str() {
            "crate" => this.krate.set(meta, attribute::path(meta)),
            "rename_all" => this.rename_all.set(meta, rename_all(meta)),
            _ => Err(attribute::unknown(meta, &["rename_all", "crate"])),
        });
        this
    }
}

fn rename_all(meta: &ParseNestedMeta<'_>) -> Result<Case> {
    let name: LitStr = attribute::value(meta, "`rename_all = \"kebab-case\"`")?;
    Case::from_name(&name.value()).ok_or_else(|| {
        let known = attribute::list(Case::NAMES);
        Error::new_spanned(&name, format!("`rename_all` is one of {known}, as a string"))
    })
}
