//! Leaving, arriving and being erased, one after the other.

use tenantry::{Error, Store};

use super::world::{acme, builder, furnish, user};
use super::{all_along, bundle_of_acme, bundle_of_user, files, look_as_member, look_as_user};

fn stores() -> Vec<Store> {
    vec![builder(0).temporary().unwrap(), builder(1).partitions(3).temporary().unwrap()]
}

fn clean(store: &Store) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn whoever_was_erased_can_come_back_from_a_bundle() {
    for (seed, store) in stores().into_iter().enumerate() {
        furnish(&store, seed as u64, 60);
        let seen = look_as_user(&store, "ada");
        let bundle = bundle_of_user(&store, "ada");
        assert!(store.users().erase(&user("ada")).unwrap().scrubbed);
        assert!(matches!(store.session(&user("ada")), Err(Error::UnknownUser { .. })));
        store.users().import(&mut &bundle[..], &all_along()).unwrap();
        let mut again = look_as_user(&store, "ada");
        assert_eq!(again.log.pop().unwrap().action, "tenant.import");
        assert_eq!(again.records, seen.records);
        assert_eq!(again.log.len(), seen.log.len());
        clean(&store);
        // And go again.
        assert!(store.users().erase(&user("ada")).unwrap().scrubbed);
        clean(&store);
    }
}

#[test]
fn of_a_refused_organization_no_file_keeps_its_members() {
    let here = builder(0).temporary().unwrap();
    furnish(&here, 3, 60);
    let bundle = bundle_of_acme(&here);
    for cut in [bundle.len() / 3, bundle.len() - 40] {
        let store = builder(1).partitions(5).temporary().unwrap();
        let members = here.organizations().members(&acme(), None, 100).unwrap();
        for member in &members {
            store.users().get_or_create(&member.user).unwrap();
        }
        assert!(store.organizations().import(&mut &bundle[..cut], &all_along()).is_err());
        clean(&store);
        for member in &members {
            assert!(store.users().erase(&member.user).unwrap().scrubbed);
        }
        for file in files(&store) {
            let connection = super::engine::look(&file);
            for member in &members {
                let sql = "SELECT (SELECT count(*) FROM _user WHERE id = ?1) + (SELECT count(*) FROM _actor WHERE id = ?1)";
                let left: i64 = connection.query_row(sql, [member.user.as_str()], |row| row.get(0)).unwrap();
                assert_eq!(left, 0, "{} in {}", member.user, file.display());
            }
        }
        // And whoever has the ids next is no worse for it.
        for member in &members {
            store.users().create(&member.user).unwrap();
        }
        store.organizations().import(&mut &bundle[..], &all_along()).unwrap();
        clean(&store);
    }
}

#[test]
fn an_organization_leaves_without_what_was_erased_of_a_member() {
    for (seed, store) in stores().into_iter().enumerate() {
        furnish(&store, seed as u64 + 7, 60);
        store.users().erase(&user("ada")).unwrap();
        let bundle = bundle_of_acme(&store);
        let there = builder(2).temporary().unwrap();
        there.organizations().import(&mut &bundle[..], &all_along()).unwrap();
        clean(&there);
        let members = |store: &Store| store.organizations().members(&acme(), None, 100).unwrap();
        let ids = |store: &Store| members(store).into_iter().map(|member| member.user).collect::<Vec<_>>();
        assert_eq!(ids(&there), ids(&store));
        for member in ids(&store) {
            let (here, mut now) = (
                look_as_member(&store, member.as_str()).unwrap(),
                look_as_member(&there, member.as_str()).unwrap(),
            );
            assert_eq!(now.log.pop().unwrap().action, "tenant.import");
            assert_eq!(now.private.pop().unwrap().action, "tenant.import");
            assert_eq!((&here.records, here.log.len()), (&now.records, now.log.len()));
            // Whom nobody knows any more, nobody knows there.
            let actors = |log: &[tenantry::AuditEntry]| {
                log.iter().map(|entry| entry.actor.clone()).collect::<Vec<_>>()
            };
            assert_eq!(actors(&here.log), actors(&now.log));
        }
        assert!(there.organizations().erase(&acme()).unwrap().scrubbed);
        clean(&there);
        clean(&store);
    }
}
