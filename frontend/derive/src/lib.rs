//! `#[derive(Params)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Member, parse_macro_input, parse_quote};

/// Writes `latentc::Params` for a struct: its fields' parameters, in the order of the fields.
///
/// A field is anything that is `Params` itself: `Table`, `Param`, another such struct, and `Vec`, `Option`, `Box`
/// and arrays of them. `#[params(skip)]` leaves a field out.
#[proc_macro_derive(Params, attributes(params))]
pub fn derive_params(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(mut input: DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "`Params` can be derived for a struct only"));
    };
    let visits = visits(&data.fields)?;
    for parameter in input.generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::latentc::Params));
    }
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::latentc::Params for #name #arguments #bounds {
            fn visit(&self, visit: &mut dyn ::core::ops::FnMut(&::latentc::params::ParamSpec)) {
                #(#visits)*
                let _ = visit;
            }
        }
    })
}

fn visits(fields: &Fields) -> syn::Result<Vec<TokenStream>> {
    let mut out = vec![];
    for (field, member) in fields.iter().zip(fields.members()) {
        if !skipped(field)? {
            out.push(visit(field, &member));
        }
    }
    Ok(out)
}

/// The span is the field's type, so that a field that holds no parameters is what the error points at.
fn visit(field: &Field, member: &Member) -> TokenStream {
    quote_spanned! { field.ty.span() => ::latentc::Params::visit(&self.#member, visit); }
}

fn skipped(field: &Field) -> syn::Result<bool> {
    let mut skip = false;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("params")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                skip = true;
                Ok(())
            } else {
                Err(meta.error("unknown word; `skip` leaves a field out"))
            }
        })?;
    }
    Ok(skip)
}
