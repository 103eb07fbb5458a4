//! The model of `#[derive(Entity)]`.

use std::collections::HashSet;

use proc_macro2::{Delimiter, Group, Span};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, FieldsNamed, Ident, LitStr, Path, Result, Token, Visibility,
};

use super::attribute::{self, Once};
use super::field::{Column, Field, Kind};
use super::{Errors, case};

/// A struct that becomes an entity.
pub(crate) struct Entity {
    pub(crate) krate: Path,
    pub(crate) ident: Ident,
    pub(crate) vis: Visibility,
    pub(crate) name: LitStr,
    /// The name of a variant of `Tenancy` and of a marker in `tenancy`.
    pub(crate) tenancy: Ident,
    pub(crate) author: bool,
    pub(crate) audit_reads: bool,
    pub(crate) fields: Vec<Field>,
    pub(crate) indexes: Vec<Index>,
}

/// An index by the names of its columns.
pub(crate) struct Index {
    pub(crate) unique: bool,
    pub(crate) columns: Vec<(LitStr, Direction)>,
}

#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Asc,
    Desc,
}

impl Entity {
    pub(crate) fn parse(input: DeriveInput) -> Result<Self> {
        let named = named_fields(&input)?;
        let mut errors = Errors::default();
        super::refuse_generics(&input.generics, "an entity", &mut errors);
        let attributes = Attributes::read(&input.attrs, &mut errors);
        let fields: Vec<Field> =
            named.named.iter().filter_map(|field| Field::parse(field, &mut errors)).collect();
        refuse_same_columns(&fields, &mut errors);
        let indexes =
            attributes.indexes.into_iter().map(|index| index.resolve(&fields, &mut errors)).collect();

        let name = attributes.name.value().unwrap_or_else(|| {
            LitStr::new(&case::snake(&input.ident.unraw().to_string()), input.ident.span())
        });
        super::refuse_reserved(&name, "name", &mut errors);
        let tenancy = attributes.tenancy.value().unwrap_or_else(|| Ident::new("User", Span::call_site()));
        if let Some(author) = attributes.author.place()
            && tenancy != "Organization"
        {
            errors.at(author, "`author` needs `tenancy = organization`: write that too, or remove `author`");
        }
        errors.or(Self {
            krate: attributes.krate.value().unwrap_or_else(attribute::default_path),
            ident: input.ident,
            vis: input.vis,
            name,
            tenancy,
            author: attributes.author.place().is_some(),
            audit_reads: attributes.audit_reads.place().is_some(),
            fields,
            indexes,
        })
    }

    /// The fields that are stored, each with its column.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (&Field, &Column)> {
        self.fields.iter().filter_map(|field| Some((field, field.column.as_ref()?)))
    }
}

fn named_fields(input: &DeriveInput) -> Result<&FieldsNamed> {
    let problem = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Ok(fields),
            Fields::Unnamed(_) => "the fields of an entity have names: write `struct Name { field: Type }`",
            Fields::Unit => {
                "the fields of an entity have names: write `struct Name { .. }`, or `struct Name {}` for none"
            }
        },
        Data::Enum(_) => {
            "an entity is a struct with named fields; an enum of plain variants can be a column's type: derive `Choice`"
        }
        Data::Union(_) => "an entity is a struct with named fields: write `struct` for `union`",
    };
    Err(Error::new_spanned(&input.ident, problem))
}

fn refuse_same_columns(fields: &[Field], errors: &mut Errors) {
    let mut seen = HashSet::new();
    for column in fields.iter().filter_map(|field| field.column.as_ref()) {
        let name = column.name.value();
        if !seen.insert(name.to_ascii_lowercase()) {
            let message = format!(
                "another column is called {name:?} (SQLite ignores ASCII case): give one of them `column = \"…\"`"
            );
            errors.at(&column.name, message);
        }
    }
}

/// What `#[entity(…)]` on a struct says.
#[derive(Default)]
struct Attributes {
    krate: Once<Path>,
    name: Once<LitStr>,
    tenancy: Once<Ident>,
    author: Once<()>,
    audit_reads: Once<()>,
    indexes: Vec<FieldIndex>,
}

impl Attributes {
    const KNOWN: [&str; 7] = ["name", "tenancy", "author", "audit_reads", "unique", "index", "crate"];

    fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut this = Self::default();
        attribute::read(attributes, "entity", errors, |meta| match attribute::name(meta).as_str() {
            "crate" => this.krate.set(meta, attribute::path(meta)),
            "name" => this.name.set(meta, attribute::value(meta, "`name = \"task\"`")),
            "tenancy" => this.tenancy.set(meta, tenancy(meta)),
            "author" => this.author.set(meta, attribute::flag(meta)),
            "audit_reads" => this.audit_reads.set(meta, attribute::flag(meta)),
            "unique" => FieldIndex::parse(meta, true).map(|index| this.indexes.push(index)),
            "index" => FieldIndex::parse(meta, false).map(|index| this.indexes.push(index)),
            _ => Err(attribute::unknown(meta, &Self::KNOWN)),
        });
        this
    }
}

fn tenancy(meta: &ParseNestedMeta<'_>) -> Result<Ident> {
    const WORDS: [(&str, &str); 4] = [
        ("user", "User"),
        ("organization", "Organization"),
        ("member", "Member"),
        ("reference", "Reference"),
    ];
    attribute::word(meta, &WORDS)
}

/// An index as it is written: by the names of fields.
struct FieldIndex {
    unique: bool,
    fields: Punctuated<IndexField, Token![,]>,
}

struct IndexField {
    ident: Ident,
    direction: Option<(Ident, Direction)>,
}

impl FieldIndex {
    fn parse(meta: &ParseNestedMeta<'_>, unique: bool) -> Result<Self> {
        let group = meta.input.parse::<Group>().ok().filter(|g| g.delimiter() == Delimiter::Parenthesis);
        let fields = match group {
            Some(group) => Punctuated::parse_terminated.parse2(group.stream())?,
            None => Punctuated::new(),
        };
        if fields.is_empty() {
            let like = if unique { "unique(field, other)" } else { "index(field, other desc)" };
            return Err(meta.error(format!("name at least one field: `{like}`")));
        }
        match fields.iter().find_map(|field: &IndexField| field.direction.as_ref()) {
            Some((word, _)) if unique => Err(Error::new_spanned(
                word,
                "what is unique has no direction: remove it, or write `index(…)` too",
            )),
            _ => Ok(Self { unique, fields }),
        }
    }

    fn resolve(self, fields: &[Field], errors: &mut Errors) -> Index {
        let mut seen = HashSet::new();
        let mut columns = Vec::new();
        for IndexField { ident, direction } in self.fields {
            let name = ident.unraw().to_string();
            let problem = match fields.iter().find(|field| field.ident.unraw() == name) {
                None => {
                    let known = attribute::list(fields.iter().map(|field| &field.ident));
                    format!("there is no field `{name}`; the fields are {known}")
                }
                Some(Field { column: None, .. }) => {
                    format!("`{name}` is never stored: leave it out, or remove its `skip`")
                }
                Some(Field { column: Some(Column { kind: Kind::Nested { .. }, .. }), .. }) => {
                    format!("`{name}` is nested, and nested values have no order: leave it out")
                }
                Some(_) if seen.contains(&name) => format!("`{name}` is named twice: keep one"),
                Some(Field { column: Some(column), .. }) => {
                    let direction = direction.map_or(Direction::Asc, |(_, direction)| direction);
                    columns.push((column.name.clone(), direction));
                    seen.insert(name);
                    continue;
                }
            };
            errors.at(&ident, problem);
        }
        Index { unique: self.unique, columns }
    }
}

impl Parse for IndexField {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let place = input.span();
        let ident = Ident::parse_any(input)
            .map_err(|_| Error::new(place, "name a field, without quotes: `field` or `field desc`"))?;
        if attribute::at_end(input) {
            return Ok(Self { ident, direction: None });
        }
        let place = input.span();
        let word: Option<Ident> = input.parse().ok();
        let direction = word.and_then(|word| match word.to_string().as_str() {
            "asc" => Some((word, Direction::Asc)),
            "desc" => Some((word, Direction::Desc)),
            _ => None,
        });
        if direction.is_none() {
            return Err(Error::new(place, "only `asc`, `desc` or a comma can follow a field"));
        }
        Ok(Self { ident, direction })
    }
}
