//! Leaving a store, and arriving in another: whole, the same, and unnoticed by everybody else.

mod world;

use tenantry::{ImportOptions, Store};
use world::{acme, builder, furnish, user};

fn bundle_of_user(store: &Store, id: &str) -> Vec<u8> {
    let mut bundle = Vec::new();
    let exported = store.users().export(&user(id), &mut bundle).unwrap();
    assert_eq!(exported.bytes, bundle.len() as u64);
    assert_eq!(exported.digest.unwrap(), bundle[bundle.len() - 32..]);
    bundle
}

fn bundle_of_acme(store: &Store) -> Vec<u8> {
    let mut bundle = Vec::new();
    store.organizations().export(&acme(), &mut bundle).unwrap();
    bundle
}

fn options() -> ImportOptions {
    ImportOptions::new().with_reference_records().creating_users().with_quotas()
}

#[test]
fn first() {
    for spread in [false, true] {
        let here = builder(0).temporary().unwrap();
        furnish(&here, 1, 200);
        println!("{}", here.check().unwrap());
        let ada = bundle_of_user(&here, "ada");
        assert_eq!(ada, bundle_of_user(&here, "ada"));
        let acme = bundle_of_acme(&here);
        println!("{} {}", ada.len(), acme.len());
        let there = if spread { builder(3).partitions(2) } else { builder(3) }.temporary().unwrap();
        println!("{:?}", there.users().import(&mut &ada[..], &options()).unwrap());
        println!("{}", there.check().unwrap());
        println!("{:?}", there.organizations().import(&mut &acme[..], &options()).unwrap());
        println!("{}", there.check().unwrap());
    }
}
