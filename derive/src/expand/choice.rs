use proc_macro2::TokenStream;
use quote::quote;

use crate::parse::Choice;

/// What `#[derive(Choice)]` adds.
pub(crate) fn choice(choice: &Choice) -> TokenStream {
    let Choice { krate, ident, vis, variants } = choice;
    let support = quote!(#krate::codegen_support);
    let (names, texts): (Vec<_>, Vec<_>) = variants.iter().map(|(name, text)| (name, text)).unzip();
    quote! {
        #[allow(dead_code, deprecated)]
        impl #ident {
            /// The text as which the choice is stored.
            #[must_use]
            #vis const fn as_str(&self) -> &'static str {
                match self {
                    #(Self::#names => #texts,)*
                }
            }
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl #support::Field for #ident {
            type Inner = Self;

            fn kind() -> #support::ColumnKind {
                #support::ColumnKind::Choice(::std::vec::Vec::from([#(::std::string::String::from(#texts)),*]))
            }

            fn to_value(&self) -> ::core::result::Result<#support::Value, ::std::string::String> {
                ::core::result::Result::Ok(#support::Value::Text(::std::string::String::from(Self::as_str(self))))
            }

            fn from_raw(raw: #support::Raw<'_>) -> ::core::result::Result<Self, ::std::string::String> {
                match raw.text()? {
                    #(#texts => ::core::result::Result::Ok(Self::#names),)*
                    _ => ::core::result::Result::Err(::std::string::String::from(
                        "holds a choice that this program does not know",
                    )),
                }
            }
        }

        #[automatically_derived]
        impl #support::Ordered for #ident {}
    }
}
