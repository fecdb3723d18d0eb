//! After any sequence of operations, each caller finds exactly the facts within its reach.

use std::collections::BTreeMap;

use headroom_api::memory::{Entity, Scope};
use headroomd::memory::{Ending, FactScope, Holder, MemoryStore, Origin, UpdateOutcome, Vector};
use headroomd::store::Database;
use proptest::prelude::*;

use crate::memory::{draft, reach};

const NOW: i64 = 1_800_000_000_000;
/// Names that could be confused if keys were joined carelessly.
const TENANTS: [&str; 3] = ["", "a", "b"];
const USERS: [&str; 2] = ["a", "a/b"];
const PROJECTS: [&str; 4] = ["", "b", "a/b", "h1"];

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Save { by: usize, scope: Scope, text: u8 },
    Update { by: usize, fact: usize, text: u8 },
    Forget { by: usize, fact: usize },
    Restore { by: usize, fact: usize },
    Merge,
}

fn everyone() -> Vec<FactScope> {
    let mut all = Vec::new();
    for tenant in TENANTS {
        for user in USERS {
            all.extend(PROJECTS.map(|project| reach(tenant, user, project)));
        }
    }
    all
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let by = 0..TENANTS.len() * USERS.len() * PROJECTS.len();
    let scope = prop_oneof![Just(Scope::Project), Just(Scope::User), Just(Scope::Team)];
    let text = 0..6u8;
    let fact = 0..12usize;
    let step = prop_oneof![
        4 => (by.clone(), scope, text.clone()).prop_map(|(by, scope, text)| Step::Save { by, scope, text }),
        2 => (by.clone(), fact.clone(), text).prop_map(|(by, fact, text)| Step::Update { by, fact, text }),
        1 => (by.clone(), fact.clone()).prop_map(|(by, fact)| Step::Forget { by, fact }),
        1 => (by, fact).prop_map(|(by, fact)| Step::Restore { by, fact }),
        1 => Just(Step::Merge),
    ];
    prop::collection::vec(step, 1..24)
}

fn text(n: u8) -> String {
    // two of them have the same meaning
    let texts =
        ["common The port", "common port", "common theme", "common lead", "common h1", "common holder"];
    texts[usize::from(n) % texts.len()].to_owned()
}

/// Runs the steps, and after each one checks what every caller can find.
pub(crate) async fn nobody_finds_what_is_not_theirs(store: &dyn MemoryStore, steps: &[Step]) {
    let everyone = everyone();
    // the holder and text of each fact; `None`: it has ended
    let mut facts: BTreeMap<String, (Holder, Option<String>)> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let vector = || Some(Vector { embedder: "test".to_owned(), values: vec![1.0, 0.0] });
    let entities = || vec![Entity { entity: "thing".to_owned(), entity_type: String::new() }];
    let origin = Origin::default();
    for step in steps {
        let id = |fact: usize| order.get(fact).cloned().unwrap_or_else(|| "none".to_owned());
        match step {
            Step::Save { by, scope, text: n } => {
                let Some(holder) = everyone[*by].holder(*scope) else { continue };
                let draft =
                    headroomd::memory::Draft { vector: vector(), entities: entities(), ..draft(&text(*n)) };
                let saved = store.save(&holder, &[draft], NOW).await.unwrap().remove(0).stored().clone();
                assert_eq!(saved.holder(), holder);
                if !facts.contains_key(&saved.fact.id) {
                    order.push(saved.fact.id.clone());
                }
                facts.insert(saved.fact.id, (holder, Some(text(*n))));
            }
            Step::Update { by, fact, text: n } => {
                let id = id(*fact);
                let draft = headroomd::memory::Draft { vector: vector(), ..draft(&text(*n)) };
                let known = facts.get(&id).cloned();
                let mine = known.filter(|(holder, live)| everyone[*by].holds(holder) && live.is_some());
                match store.update(&everyone[*by], &id, &draft, NOW).await.unwrap() {
                    UpdateOutcome::NotFound => assert!(mine.is_none(), "{id} is there"),
                    UpdateOutcome::Unchanged(_) => assert_eq!(mine.unwrap().1, Some(text(*n))),
                    UpdateOutcome::Changed(_) => {
                        let (holder, _) = mine.unwrap();
                        facts.insert(id, (holder, Some(text(*n))));
                    }
                    UpdateOutcome::Merged(other) => {
                        let (holder, _) = mine.unwrap();
                        assert_eq!(facts[&other.fact.id], (holder.clone(), Some(text(*n))));
                        facts.insert(id, (holder, None));
                    }
                }
            }
            Step::Forget { by, fact } => {
                let id = id(*fact);
                let known = facts.get(&id).cloned();
                let mine = known.filter(|(holder, live)| everyone[*by].holds(holder) && live.is_some());
                let ended = store.end(&everyone[*by], &id, Ending::Deleted, &origin, NOW).await.unwrap();
                assert_eq!(ended.is_some(), mine.is_some());
                if let Some((holder, _)) = mine {
                    facts.insert(id, (holder, None));
                }
            }
            Step::Restore { by, fact } => {
                let id = id(*fact);
                let mine = facts.get(&id).cloned().filter(|(holder, _)| everyone[*by].holds(holder));
                match store.restore(&everyone[*by], &id, &origin, NOW).await.unwrap() {
                    UpdateOutcome::NotFound => assert!(mine.is_none()),
                    UpdateOutcome::Unchanged(_) => assert!(mine.unwrap().1.is_some()),
                    UpdateOutcome::Changed(back) => {
                        let (holder, live) = mine.unwrap();
                        assert!(live.is_none());
                        facts.insert(id, (holder, Some(back.fact.content)));
                    }
                    UpdateOutcome::Merged(other) => assert_eq!(facts[&other.fact.id].0, mine.unwrap().0),
                }
            }
            Step::Merge => {
                for (older, newer) in store.duplicates(0, 10).await.unwrap() {
                    assert_eq!(older.holder(), newer.holder());
                    if store.merge(&older, &newer, &origin, NOW).await.unwrap() {
                        facts.insert(newer.fact.id.clone(), (newer.holder(), None));
                    }
                }
            }
        }
    }
    for who in &everyone {
        let theirs = |facts: &BTreeMap<String, (Holder, Option<String>)>| {
            let held = facts.iter().filter(|(_, (holder, live))| who.holds(holder) && live.is_some());
            held.map(|(id, _)| id.clone()).collect::<Vec<_>>()
        };
        let expected = theirs(&facts);
        let ids = |found: Vec<headroomd::memory::StoredFact>| {
            let mut ids: Vec<String> = found.into_iter().map(|stored| stored.fact.id).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(store.list(who, None, None, 100).await.unwrap()), expected, "{who:?}: a list");
        let found = store.matching(who, &["common".to_owned()], NOW, 100).await.unwrap();
        assert_eq!(ids(found.into_iter().map(|(stored, _)| stored).collect()), expected, "{who:?}: words");
        let embedded = store.nearest(who, &vector().unwrap(), NOW, 100).await.unwrap();
        for id in ids(embedded.into_iter().map(|(stored, _)| stored).collect()) {
            assert!(expected.contains(&id), "{who:?}: vectors");
        }
        for id in ids(store.about(who, &["thing".to_owned()], NOW, 100).await.unwrap()) {
            assert!(expected.contains(&id), "{who:?}: entities");
        }
        let sums = store.sums(who, None).await.unwrap();
        assert_eq!(sums.project + sums.user + sums.team, expected.len() as i64);
        for (id, (holder, _)) in &facts {
            assert_eq!(
                !store.history(who, id).await.unwrap().is_empty(),
                who.holds(holder),
                "{who:?}: history"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn in_sqlite_other_projects_and_tenants_facts_never_appear(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = headroomd::store::memory::open(&Database::File(dir.path().join("m.db"))).await.unwrap();
            nobody_finds_what_is_not_theirs(&*store, &steps).await;
            store.close().await;
        });
    }
}

/// Sequences of steps, the same in every run.
pub(crate) fn some_steps() -> Vec<Vec<Step>> {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    (0..6).map(|_| steps().new_tree(&mut runner).unwrap().current()).collect()
}
