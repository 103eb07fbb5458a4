//! Expansions and messages, from tokens to tokens. That the code compiles, and what rustc says of
//! the mistakes, is tested by `tests/compile_fail.rs` of tenantry.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Result, parse2};

use crate::{expand, parse};

fn entity(tokens: TokenStream) -> Result<TokenStream> {
    parse::Entity::parse(parse2(tokens)?).map(|entity| expand::entity(&entity))
}

fn choice(tokens: TokenStream) -> Result<TokenStream> {
    parse::Choice::parse(parse2(tokens)?).map(|choice| expand::choice(&choice))
}

/// Everything that is wrong, in order.
fn problems(result: Result<TokenStream>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(error) => error.into_iter().map(|problem| problem.to_string()).collect(),
    }
}

/// Tokens as text without spaces, in which `>>` and `> >` are the same.
fn text(tokens: &TokenStream) -> String {
    tokens.to_string().split_whitespace().collect()
}

fn assert_holds(expansion: &TokenStream, part: TokenStream) {
    let (expansion, part) = (text(expansion), text(&part));
    assert!(expansion.contains(&part), "`{part}` is missing in\n{expansion}");
}

#[test]
fn an_entity_with_everything() -> Result<()> {
    let expansion = entity(quote! {
        #[entity(name = "todo", tenancy = organization, author)]
        #[entity(unique(slug), index(done, r#type desc))]
        pub(crate) struct Task {
            slug: String,
            #[entity(default = false)]
            done: bool,
            #[entity(column = "kind", secret)]
            r#type: Option<i64>,
            #[entity(on_delete = set_null)]
            project: Option<Id<Project>>,
            tags: Vec<String>,
            #[entity(nested)]
            place: Option<Place>,
            #[entity(skip)]
            cache: Cache,
        }
    })?;
    let expected = quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl ::tenantry::codegen_support::Entity for Task {
            type Tenancy = ::tenantry::codegen_support::tenancy::Organization;
            const ENTITY_NAME: &'static str = "todo";

            fn definition() -> ::tenantry::codegen_support::Definition {
                ::tenantry::codegen_support::Definition::new("todo", ::tenantry::codegen_support::Tenancy::Organization)
                    .author()
                    .column(::tenantry::codegen_support::column_of("slug", <String as ::tenantry::codegen_support::Field>::kind(), <String as ::tenantry::codegen_support::Field>::OPTIONAL))
                    .column(::tenantry::codegen_support::column_of("done", <bool as ::tenantry::codegen_support::Field>::kind(), <bool as ::tenantry::codegen_support::Field>::OPTIONAL).default(false))
                    .column(::tenantry::codegen_support::column_of("kind", <Option<i64>  as ::tenantry::codegen_support::Field>::kind(), <Option<i64>  as ::tenantry::codegen_support::Field>::OPTIONAL).secret())
                    .column(::tenantry::codegen_support::reference_of::<Option<Id<Project> > >(
                        "project",
                        ::tenantry::codegen_support::OnDelete::SetNull
                    ))
                    .column(::tenantry::codegen_support::ColumnDefinition::new(
                        "tags",
                        ::tenantry::codegen_support::ColumnKind::Nested
                    ))
                    .column(
                        ::tenantry::codegen_support::ColumnDefinition::new(
                            "place",
                            ::tenantry::codegen_support::ColumnKind::Nested
                        ).optional()
                    )
                    .unique(["slug"])
                    .index(
                        ::tenantry::codegen_support::IndexDefinition::new(::core::iter::empty::<&str>())
                            .asc("done")
                            .desc("kind")
                    )
            }

            fn encode(
                &self,
                encoder: &mut ::tenantry::codegen_support::Encoder
            ) -> ::tenantry::codegen_support::Result<()> {
                encoder.value("slug", <String as ::tenantry::codegen_support::Field>::to_value(&self.slug))?;
                encoder.value("done", <bool as ::tenantry::codegen_support::Field>::to_value(&self.done))?;
                encoder.value("kind", <Option<i64>  as ::tenantry::codegen_support::Field>::to_value(&self.r#type))?;
                encoder.value("project", <Option<Id<Project> >  as ::tenantry::codegen_support::Field>::to_value(&self.project))?;
                encoder.nested::<Vec<String> >("tags", &self.tags)?;
                encoder.nested_option::<Place>("place", &self.place)?;
                ::core::result::Result::Ok(())
            }

            fn decode(
                decoder: &mut ::tenantry::codegen_support::Decoder<'_, '_>
            ) -> ::tenantry::codegen_support::Result<Self> {
                ::core::result::Result::Ok(Self {
                    slug: decoder.value("slug", <String as ::tenantry::codegen_support::Field>::from_raw)?,
                    done: decoder.value("done", <bool as ::tenantry::codegen_support::Field>::from_raw)?,
                    r#type: decoder.value("kind", <Option<i64>  as ::tenantry::codegen_support::Field>::from_raw)?,
                    project: decoder.value("project", <Option<Id<Project> >  as ::tenantry::codegen_support::Field>::from_raw)?,
                    tags: decoder.nested::<Vec<String> >("tags")?,
                    place: decoder.nested_option::<Place>("place")?,
                    cache: <Cache as ::core::default::Default>::default(),
                })
            }
        }

        #[allow(dead_code, deprecated)]
        impl Task {
            #[doc = "The column `slug`."]
            pub(crate) const SLUG: ::tenantry::codegen_support::Column<Self, String> =
                ::tenantry::codegen_support::Column::new("slug");
            #[doc = "The column `done`."]
            pub(crate) const DONE: ::tenantry::codegen_support::Column<Self, bool> =
                ::tenantry::codegen_support::Column::new("done");
            #[doc = "The column `kind`."]
            pub(crate) const TYPE: ::tenantry::codegen_support::Column<Self, Option<i64> > =
                ::tenantry::codegen_support::Column::new("kind");
            #[doc = "The column `project`."]
            pub(crate) const PROJECT: ::tenantry::codegen_support::Column<Self, Option<Id<Project> > > =
                ::tenantry::codegen_support::Column::new("project");
            #[doc = "The column `tags`."]
            pub(crate) const TAGS: ::tenantry::codegen_support::Column<
                Self,
                ::tenantry::codegen_support::AsNested<Vec<String> >
            > = ::tenantry::codegen_support::Column::new("tags");
            #[doc = "The column `place`."]
            pub(crate) const PLACE: ::tenantry::codegen_support::Column<
                Self,
                ::core::option::Option<::tenantry::codegen_support::AsNested<Place> >
            > = ::tenantry::codegen_support::Column::new("place");
        }
    };
    assert_eq!(text(&expansion), text(&expected));
    Ok(())
}

#[test]
fn an_entity_with_nothing() -> Result<()> {
    let expansion = entity(quote!(
        struct HTTPServerLog {}
    ))?;
    assert_holds(
        &expansion,
        quote!(
            const ENTITY_NAME: &'static str = "http_server_log";
        ),
    );
    assert_holds(
        &expansion,
        quote!(
            type Tenancy = ::tenantry::codegen_support::tenancy::User;
        ),
    );
    assert_holds(&expansion, quote!(_: &mut ::tenantry::codegen_support::Encoder));
    Ok(())
}

#[test]
fn collections_are_nested_and_bytes_are_not() -> Result<()> {
    let nested = [
        quote!(Vec<String>),
        quote!(std::vec::Vec<Vec<u8>>),
        quote!(Option<VecDeque<u8>>),
        quote!(HashMap<String, u8>),
        quote!(BTreeMap<String, u8>),
        quote!(HashSet<u8>),
        quote!(::core::option::Option<std::collections::BTreeSet<u8>>),
        quote!(Box<[String]>),
        quote!((u8, u8)),
        quote!([u8; 4]),
    ];
    for ty in nested {
        assert_holds(&entity(quote!(struct A { a: #ty }))?, quote!(ColumnKind::Nested));
    }
    for ty in [quote!(Vec<u8>), quote!(Option<Vec<u8>>), quote!(Box<str>), quote!(Color)] {
        assert_holds(
            &entity(quote!(struct A { a: #ty }))?,
            quote!(<#ty as ::tenantry::codegen_support::Field>::kind()),
        );
    }
    Ok(())
}

#[test]
fn defaults_are_literals_of_four_types() -> Result<()> {
    let expansion = entity(quote! {
        struct A {
            #[entity(default = true)]
            a: bool,
            #[entity(default = -3u8)]
            b: i64,
            #[entity(default = -0.5)]
            c: f64,
            #[entity(default = "open")]
            d: Status,
        }
    })?;
    for default in [quote!(true), quote!(-3i64), quote!(-0.5f64), quote!("open")] {
        assert_holds(&expansion, quote!(.default(#default)));
    }
    Ok(())
}

#[test]
fn all_problems_of_an_entity_are_reported() {
    let result = entity(quote! {
        #[entity(name, colour = "red", tenancy = group, author, index(nothing, title up), unique())]
        #[entity(tenancy = member, unique(tags, title, title))]
        struct Task<T> {
            #[entity(colum = "x", secret = true, secret)]
            title: String,
            #[entity(column = "TITLE", default = 'c')]
            subtitle: String,
            tags: Vec<String>,
            _hidden: bool,
            #[entity(skip, secret, on_delete = cascade)]
            cache: T,
        }
    });
    let expected = [
        "an entity has no generics: remove them, and write the types in their place",
        "write it like `name = \"task\"`",
        "unknown attribute `colour`; the attributes here are `name`, `tenancy`, `author`, `audit_reads`, `unique`, `index`, `crate`",
        "`tenancy` is one of `user`, `organization`, `member`, `reference`",
        "only `asc`, `desc` or a comma can follow a field",
        "name at least one field: `unique(field, other)`",
        "unknown attribute `colum`; the attributes here are `column`, `default`, `secret`, `nested`, `on_delete`, `skip`",
        "write `secret` alone, without a value",
        "a default is a boolean, a number or a string",
        "names that begin with `_` are reserved: give another with `column = \"…\"`",
        "a field with `skip` is never stored: remove either `skip` or this",
        "a field with `skip` is never stored: remove either `skip` or this",
        "another column is called \"TITLE\" (SQLite ignores ASCII case): give one of them `column = \"…\"`",
        "`tags` is nested, and nested values have no order: leave it out",
        "`title` is named twice: keep one",
        "`author` needs `tenancy = organization`: write that too, or remove `author`",
    ];
    assert_eq!(problems(result), expected);
}

#[test]
fn a_choice_is_text() -> Result<()> {
    let expansion = choice(quote! {
        #[choice(crate = "store::tenantry", rename_all = "kebab-case")]
        pub enum Status {
            InProgress,
            #[choice(rename = "Done!")]
            Done,
        }
    })?;
    let expected = quote! {
        #[allow(dead_code, deprecated)]
        impl Status {
            /// The text as which the choice is stored.
            #[must_use]
            pub const fn as_str(&self) -> &'static str {
                match self {
                    Self::InProgress => "in-progress",
                    Self::Done => "Done!",
                }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl store::tenantry::codegen_support::Field for Status {
            type Inner = Self;

            fn kind() -> store::tenantry::codegen_support::ColumnKind {
                store::tenantry::codegen_support::ColumnKind::Choice(::std::vec::Vec::from([
                    ::std::string::String::from("in-progress"),
                    ::std::string::String::from("Done!")
                ]))
            }

            fn to_value(
                &self
            ) -> ::core::result::Result<store::tenantry::codegen_support::Value, ::std::string::String> {
                ::core::result::Result::Ok(store::tenantry::codegen_support::Value::Text(
                    ::std::string::String::from(Self::as_str(self))
                ))
            }

            fn from_raw(
                raw: store::tenantry::codegen_support::Raw<'_>
            ) -> ::core::result::Result<Self, ::std::string::String> {
                match raw.text()? {
                    "in-progress" => ::core::result::Result::Ok(Self::InProgress),
                    "Done!" => ::core::result::Result::Ok(Self::Done),
                    _ => ::core::result::Result::Err(::std::string::String::from(
                        "holds a choice that this program does not know",
                    )),
                }
            }
        }

        #[automatically_derived]
        impl store::tenantry::codegen_support::Ordered for Status {}
    };
    assert_eq!(text(&expansion), text(&expected));
    Ok(())
}

#[test]
fn cases() -> Result<()> {
    let cases = [
        ("snake_case", "in_progress2"),
        ("lowercase", "inprogress2"),
        ("kebab-case", "in-progress2"),
        ("PascalCase", "InProgress2"),
        ("SCREAMING_SNAKE_CASE", "IN_PROGRESS2"),
    ];
    for (case, expected) in cases {
        let expansion = choice(quote!(
            #[choice(rename_all = #case)]
            enum A {
                InProgress2,
            }
        ))?;
        assert_holds(&expansion, quote!(Self::InProgress2 => #expected));
    }
    Ok(())
}

#[test]
fn all_problems_of_a_choice_are_reported() {
    let result = choice(quote! {
        #[choice(rename_all = "camelCase", rename = "x")]
        enum Status<T> {
            Open(T),
            #[choice(rename = "open", text = "o")]
            AlsoOpen,
        }
    });
    let expected = [
        "a choice has no generics: remove them, and write the types in their place",
        "`rename_all` is one of `snake_case`, `lowercase`, `kebab-case`, `PascalCase`, `SCREAMING_SNAKE_CASE`, as a string",
        "unknown attribute `rename`; the attributes here are `rename_all`, `crate`",
        "the variants of a choice have no fields: remove them, or store the enum with `#[entity(nested)]` and serde",
        "unknown attribute `text`; the attributes here are `rename`",
        "`Open` is stored as \"open\" too: give one of them `rename = \"…\"`",
    ];
    assert_eq!(problems(result), expected);
}
