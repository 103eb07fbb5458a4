//! The model of one field of an entity.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, GenericArgument, Lit, LitStr, PathArguments, PathSegment, Result, Type};

use super::attribute::{self, Once};
use super::{Errors, case};

/// A field of the struct.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// None if the field is skipped.
    pub(crate) column: Option<Column>,
}

/// What stores a field.
pub(crate) struct Column {
    pub(crate) name: LitStr,
    /// The name of its constant.
    pub(crate) constant: Ident,
    pub(crate) kind: Kind,
    pub(crate) secret: bool,
    /// A literal: `bool`, `i64`, `f64` or `&str`.
    pub(crate) default: Option<TokenStream>,
}

pub(crate) enum Kind {
    /// A type of the trait `Field`.
    Plain,
    /// A type of the trait `Field` that refers to a record; the name of a variant of `OnDelete`.
    Reference(Ident),
    /// Any serde type; what its `Option` holds, if it is one.
    Nested { optional: Option<Type> },
}

impl Field {
    /// The model of a field; None if it has no name, which the fields of such a struct have.
    pub(super) fn parse(field: &syn::Field, errors: &mut Errors) -> Option<Self> {
        let ident = field.ident.clone()?;
        let attributes = Attributes::read(&field.attrs, errors);
        let column = if attributes.skip.place().is_some() {
            attributes.refuse_beside_skip(errors);
            None
        } else {
            Some(Column::new(&ident, &field.ty, attributes, errors))
        };
        Some(Self { ident, ty: field.ty.clone(), column })
    }
}

impl Column {
    fn new(ident: &Ident, ty: &Type, attributes: Attributes, errors: &mut Errors) -> Self {
        let field = ident.unraw().to_string();
        let optional = generic_argument(ty, "Option");
        let nested = attributes.nested.place().is_some() || is_nested(optional.unwrap_or(ty));
        if nested {
            attributes.refuse_beside_nested(errors);
        } else {
            attributes.refuse_beside_reference(optional.is_some(), errors);
            if optional.is_some_and(|inner| generic_argument(inner, "Option").is_some()) {
                errors.at(ty, "a column holds a value or none: write one `Option`, or store both with `#[entity(nested)]`");
            }
        }
        let name = attributes.column.value().unwrap_or_else(|| LitStr::new(&field, ident.span()));
        super::refuse_reserved(&name, "column", errors);
        Self {
            name,
            constant: Ident::new(&case::screaming_snake(&field), ident.span()),
            kind: match attributes.on_delete.value() {
                _ if nested => Kind::Nested { optional: optional.cloned() },
                Some(on_delete) => Kind::Reference(on_delete),
                None => Kind::Plain,
            },
            secret: attributes.secret.place().is_some(),
            default: attributes.default.value(),
        }
    }
}

/// What `#[entity(…)]` on a field says.
#[derive(Default)]
struct Attributes {
    column: Once<LitStr>,
    default: Once<TokenStream>,
    secret: Once<()>,
    nested: Once<()>,
    on_delete: Once<Ident>,
    skip: Once<()>,
}

impl Attributes {
    const KNOWN: [&str; 6] = ["column", "default", "secret", "nested", "on_delete", "skip"];

    fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        attribute::read(attributes, "entity", errors, |meta| match attribute::name(meta).as_str() {
            "column" => this.column.set(meta, attribute::value(meta, "`column = \"name\"`")),
            "default" => this.default.set(meta, default(meta)),
            "secret" => this.secret.set(meta, attribute::flag(meta)),
            "nested" => this.nested.set(meta, attribute::flag(meta)),
            "on_delete" => this.on_delete.set(meta, on_delete(meta)),
            "skip" => this.skip.set(meta, attribute::flag(meta)),
            _ => Err(attribute::unknown(meta, &Self::KNOWN)),
        });
        this
    }

    fn refuse_beside_skip(&self, errors: &mut Errors) {
        let places = [
            self.column.place(),
            self.default.place(),
            self.secret.place(),
            self.nested.place(),
            self.on_delete.place(),
        ];
        for place in places.into_iter().flatten() {
            errors.at(place, "a field with `skip` is never stored: remove either `skip` or this");
        }
    }

    fn refuse_beside_nested(&self, errors: &mut Errors) {
        if let Some(place) = self.default.place() {
            errors
                .at(place, "a nested field has no default: remove it, or write `Option<…>` around the type");
        }
        if let Some(place) = self.on_delete.place() {
            errors.at(
                place,
                "a nested field refers to no record: remove `on_delete`, or make the type `Id<Other>`",
            );
        }
    }

    fn refuse_beside_reference(&self, optional: bool, errors: &mut Errors) {
        let Some((place, on_delete)) = self.on_delete.get() else {
            return;
        };
        if on_delete == "SetNull" && !optional {
            errors.at(place, "`set_null` needs an optional field: write `Option<…>` around the type");
        }
        if let Some(place) = self.default.place() {
            errors.at(place, "a reference has no default: remove it, or write `Option<…>` around the type");
        }
    }
}

fn on_delete(meta: &ParseNestedMeta<'_>) -> Result<Ident> {
    attribute::word(meta, &[("restrict", "Restrict"), ("cascade", "Cascade"), ("set_null", "SetNull")])
}

fn default(meta: &ParseNestedMeta<'_>) -> Result<TokenStream> {
    let literal = attribute::value(meta, "`default = \"text\"`; `true`, `1` and `1.0` are fine too")?;
    match &literal {
        Lit::Bool(bool) => Ok(quote!(#bool)),
        Lit::Str(text) => Ok(quote!(#text)),
        Lit::Int(int) => match int.base10_parse::<i64>() {
            Ok(int) => Ok(quote!(#int)),
            Err(_) => {
                Err(Error::new_spanned(int, "an integer column holds an `i64`: write a smaller number"))
            }
        },
        Lit::Float(float) => match float.base10_parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(quote!(#float)),
            _ => {
                Err(Error::new_spanned(float, "a float column holds a finite `f64`: write a smaller number"))
            }
        },
        other => Err(Error::new_spanned(other, "a default is a boolean, a number or a string")),
    }
}

/// Whether the type is a collection, so that MessagePack can be meant and nothing else.
fn is_nested(ty: &Type) -> bool {
    match ty {
        Type::Array(_) | Type::Tuple(_) => true,
        Type::Group(group) => is_nested(&group.elem),
        Type::Paren(paren) => is_nested(&paren.elem),
        _ => {
            let Some(segment) = last_segment(ty) else {
                return false;
            };
            match segment.ident.to_string().as_str() {
                "Vec" => generic_argument(ty, "Vec").is_some_and(|item| !is_u8(item)),
                "Box" => matches!(generic_argument(ty, "Box"), Some(Type::Slice(_))),
                "VecDeque" | "HashMap" | "BTreeMap" | "HashSet" | "BTreeSet" => true,
                _ => false,
            }
        }
    }
}

fn is_u8(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "u8")
}

/// The `T` of `wrapper<T>`.
fn generic_argument<'t>(ty: &'t Type, wrapper: &str) -> Option<&'t Type> {
    let segment = last_segment(ty).filter(|segment| segment.ident == wrapper)?;
    match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(GenericArgument::Type(argument)) => Some(argument),
            _ => None,
        },
        _ => None,
    }
}

/// The end of a path; `macro_rules` wraps types that it is given in groups.
fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}
