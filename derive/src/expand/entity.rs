use proc_macro2::TokenStream;
use quote::quote;

use crate::parse::{Column, Direction, Entity, Field, Index, Kind};

/// What `#[derive(Entity)]` adds.
pub(crate) fn entity(entity: &Entity) -> TokenStream {
    let Entity { krate, ident, name, tenancy, .. } = entity;
    let support = &quote!(#krate::codegen_support);
    let author = entity.author.then(|| quote!(.author()));
    let audit_reads = entity.audit_reads.then(|| quote!(.audit_reads(true)));
    let columns = entity.columns().map(|(field, column)| column_definition(support, field, column));
    let indexes = entity.indexes.iter().map(|index| index_definition(support, index));
    let constants = constants(support, entity);
    let encoded: Vec<_> = entity.columns().map(|(field, column)| encode(support, field, column)).collect();
    let decoded = entity.fields.iter().map(|field| decode(support, field));
    // Without columns nothing uses them.
    let [encoder, decoder] =
        if encoded.is_empty() { [quote!(_), quote!(_)] } else { [quote!(encoder), quote!(decoder)] };
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #support::Entity for #ident {
            type Tenancy = #support::tenancy::#tenancy;
            const ENTITY_NAME: &'static str = #name;

            fn definition() -> #support::Definition {
                #support::Definition::new(#name, #support::Tenancy::#tenancy)
                    #author
                    #audit_reads
                    #(.column(#columns))*
                    #(#indexes)*
            }

            fn encode(&self, #encoder: &mut #support::Encoder) -> #support::Result<()> {
                #(#encoded?;)*
                ::core::result::Result::Ok(())
            }

            fn decode(#decoder: &mut #support::Decoder<'_, '_>) -> #support::Result<Self> {
                ::core::result::Result::Ok(Self { #(#decoded,)* })
            }
        }

        #constants
    }
}

fn column_definition(support: &TokenStream, field: &Field, column: &Column) -> TokenStream {
    let name = &column.name;
    let ty = &field.ty;
    let definition = match &column.kind {
        Kind::Plain => quote! {
            #support::column_of(#name, <#ty as #support::Field>::kind(), <#ty as #support::Field>::OPTIONAL)
        },
        Kind::Reference(action) => {
            quote!(#support::reference_of::<#ty>(#name, #support::OnDelete::#action))
        }
        Kind::Nested { optional } => {
            let optional = optional.as_ref().map(|_| quote!(.optional()));
            quote!(#support::ColumnDefinition::new(#name, #support::ColumnKind::Nested) #optional)
        }
    };
    let secret = column.secret.then(|| quote!(.secret()));
    let default = column.default.as_ref().map(|default| quote!(.default(#default)));
    quote!(#definition #secret #default)
}

fn index_definition(support: &TokenStream, index: &Index) -> TokenStream {
    if index.unique {
        let columns = index.columns.iter().map(|(column, _)| column);
        return quote!(.unique([#(#columns),*]));
    }
    let columns = index.columns.iter().map(|(column, direction)| match direction {
        Direction::Asc => quote!(.asc(#column)),
        Direction::Desc => quote!(.desc(#column)),
    });
    quote!(.index(#support::IndexDefinition::new(::core::iter::empty::<&str>()) #(#columns)*))
}

fn encode(support: &TokenStream, field: &Field, column: &Column) -> TokenStream {
    let Field { ident, ty, .. } = field;
    let name = &column.name;
    match &column.kind {
        Kind::Plain | Kind::Reference(_) => {
            quote!(encoder.value(#name, <#ty as #support::Field>::to_value(&self.#ident)))
        }
        Kind::Nested { optional: None } => {
            quote!(encoder.nested::<#ty>(#name, &self.#ident))
        }
        Kind::Nested { optional: Some(inner) } => {
            quote!(encoder.nested_option::<#inner>(#name, &self.#ident))
        }
    }
}

fn decode(support: &TokenStream, field: &Field) -> TokenStream {
    let Field { ident, ty, column } = field;
    let Some(Column { name, kind, .. }) = column else {
        return quote!(#ident: <#ty as ::core::default::Default>::default());
    };
    match kind {
        Kind::Plain | Kind::Reference(_) => {
            quote!(#ident: decoder.value(#name, <#ty as #support::Field>::from_raw)?)
        }
        Kind::Nested { optional: None } => {
            quote!(#ident: decoder.nested::<#ty>(#name)?)
        }
        Kind::Nested { optional: Some(inner) } => {
            quote!(#ident: decoder.nested_option::<#inner>(#name)?)
        }
    }
}

/// A handle for each column.
fn constants(support: &TokenStream, entity: &Entity) -> TokenStream {
    let Entity { ident, vis, .. } = entity;
    let constants = entity.columns().map(|(Field { ty, .. }, Column { name, constant, kind, .. })| {
        let ty = match kind {
            Kind::Plain | Kind::Reference(_) => quote!(#ty),
            Kind::Nested { optional: None } => quote!(#support::AsNested<#ty>),
            Kind::Nested { optional: Some(inner) } => {
                quote!(::core::option::Option<#support::AsNested<#inner>>)
            }
        };
        let doc = format!("The column `{}`.", name.value());
        quote! {
            #[doc = #doc]
            #vis const #constant: #support::Column<Self, #ty> = #support::Column::new(#name);
        }
    });
    quote! {
        #[allow(dead_code, deprecated)]
        impl #ident {
            #(#constants)*
        }
    }
}
