//! The guarantees of every store of memory. Each test gets the same new store, opened twice.

use headroom_api::memory::{Entity, Scope};
use headroomd::memory::{
    Draft, Ending, FactScope, Holder, MemoryStore, Origin, SaveOutcome, StoredFact, UpdateOutcome, Vector,
};
use headroomd::purge::Scope as Purge;

const NOW: i64 = 1_800_000_000_000;

pub(crate) fn reach(tenant: &str, user: &str, project: &str) -> FactScope {
    FactScope { tenant: tenant.to_owned(), user: user.to_owned(), project: project.to_owned() }
}

pub(crate) fn draft(content: &str) -> Draft {
    let origin = Origin {
        agent: "claude-code".to_owned(),
        provider: "anthropic".to_owned(),
        via: "mcp".to_owned(),
        conversation: "c1".to_owned(),
        reason: String::new(),
    };
    Draft { content: content.to_owned(), importance: 0.5, valid_from: NOW, origin, ..Draft::default() }
}

fn near(content: &str, values: [f32; 2]) -> Draft {
    Draft { vector: Some(vector(values)), ..draft(content) }
}

fn vector(values: [f32; 2]) -> Vector {
    Vector { embedder: "test".to_owned(), values: values.to_vec() }
}

fn because(reason: &str) -> Origin {
    Origin {
        agent: "codex".to_owned(),
        via: "cli".to_owned(),
        reason: reason.to_owned(),
        ..Origin::default()
    }
}

async fn save(store: &dyn MemoryStore, holder: &Holder, draft: Draft) -> StoredFact {
    store.save(holder, &[draft], NOW).await.unwrap().remove(0).stored().clone()
}

async fn found(store: &dyn MemoryStore, reach: &FactScope, word: &str) -> Vec<String> {
    let found = store.matching(reach, &[word.to_owned()], NOW, 50).await.unwrap();
    found.into_iter().map(|(stored, _)| stored.fact.content).collect()
}

fn contents(facts: &[StoredFact]) -> Vec<&str> {
    facts.iter().map(|stored| stored.fact.content.as_str()).collect()
}

pub(crate) async fn a_fact_is_found_changed_and_forgotten_and_its_history_stays(
    store: &dyn MemoryStore,
    other: &dyn MemoryStore,
) {
    let me = reach("", "me", "/p");
    let project = me.holder(Scope::Project).unwrap();
    let entities = vec![Entity { entity: "API".to_owned(), entity_type: "technology".to_owned() }];
    let first = Draft { entities: entities.clone(), ..near("The API listens on port 8787", [1.0, 0.0]) };
    let saved = save(store, &project, first).await;
    assert_eq!((saved.fact.version, saved.fact.ended.clone()), (1, None));
    assert_eq!(found(other, &me, "port").await, ["The API listens on port 8787"]);
    assert_eq!(found(other, &me, "listening").await.len(), 1, "words are found by their stems");
    let nearest = other.nearest(&me, &vector([0.6, 0.8]), NOW, 5).await.unwrap();
    assert!((nearest[0].1 - 0.6).abs() < 1e-6, "{nearest:?}");

    let id = &saved.fact.id;
    let change = Draft { origin: because("it moved"), ..near("The API listens on port 9090", [0.0, 1.0]) };
    let UpdateOutcome::Changed(changed) = other.update(&me, id, &change, NOW + 5).await.unwrap() else {
        panic!()
    };
    assert_eq!((&changed.fact.id, changed.fact.version, &changed.fact.entities), (id, 2, &entities));
    assert!(matches!(store.update(&me, id, &change, NOW + 6).await.unwrap(), UpdateOutcome::Unchanged(_)));
    assert_eq!(found(store, &me, "8787").await, Vec::<String>::new());
    assert_eq!(found(store, &me, "9090").await.len(), 1);
    let nearest = store.nearest(&me, &vector([1.0, 0.0]), NOW, 5).await.unwrap();
    assert_eq!(nearest.len(), 1, "the vector of the version before is gone");
    assert!(nearest[0].1.abs() < 1e-6);
    assert_eq!(
        contents(&store.about(&me, &["api".to_owned()], NOW, 5).await.unwrap()),
        ["The API listens on port 9090"]
    );

    let ended =
        store.end(&me, id, Ending::Deleted, &because("no longer run"), NOW + 9).await.unwrap().unwrap();
    let ending = ended.fact.ended.unwrap();
    assert_eq!(
        (ending.how.as_str(), ending.reason.as_str(), ending.agent.as_str()),
        ("deleted", "no longer run", "codex")
    );
    assert!(store.end(&me, id, Ending::Deleted, &because(""), NOW).await.unwrap().is_none());
    assert!(matches!(store.update(&me, id, &change, NOW).await.unwrap(), UpdateOutcome::NotFound));
    assert!(found(other, &me, "port").await.is_empty());
    assert!(other.nearest(&me, &vector([1.0, 0.0]), NOW, 5).await.unwrap().is_empty());
    assert!(other.about(&me, &["api".to_owned()], NOW, 5).await.unwrap().is_empty());
    assert!(other.list(&me, None, None, 5).await.unwrap().is_empty());

    let UpdateOutcome::Changed(back) =
        other.restore(&me, id, &because("it runs again"), NOW + 12).await.unwrap()
    else {
        panic!()
    };
    assert_eq!((back.fact.version, back.fact.content.as_str()), (3, "The API listens on port 9090"));
    assert_eq!(found(store, &me, "port").await.len(), 1);
    let history = store.history(&me, id).await.unwrap();
    assert_eq!(
        contents(&history),
        ["The API listens on port 8787", "The API listens on port 9090", "The API listens on port 9090"]
    );
    let before = &history[0].fact;
    assert_eq!(
        (before.source_agent.as_str(), before.created_via.as_str(), before.conversation.as_str()),
        ("claude-code", "mcp", "c1")
    );
    assert_eq!((before.created_at, before.valid_from, before.invalid_at), (NOW, NOW, Some(NOW + 5)));
    let ending = before.ended.clone().unwrap();
    assert_eq!((ending.how.as_str(), ending.at, ending.reason.as_str()), ("updated", NOW + 5, "it moved"));
    assert_eq!(history[1].fact.reason, "it moved");
    assert_eq!(history[1].fact.invalid_at, None, "what was forgotten may well be so");
}

pub(crate) async fn a_text_is_kept_once_by_whoever_saves_it(one: &dyn MemoryStore, other: &dyn MemoryStore) {
    let me = reach("t", "me", "/p");
    let holder = me.holder(Scope::Project).unwrap();
    let work = async |store: &dyn MemoryStore, reversed: bool| {
        let mut ids = Vec::new();
        for round in 0..6 {
            let mut drafts: Vec<Draft> =
                (0..8).map(|n| draft(&format!("fact {} of many", round * 4 + n))).collect();
            if reversed {
                drafts.reverse();
            }
            for saved in store.save(&holder, &drafts, NOW).await.unwrap() {
                ids.push((saved.stored().fact.content.clone(), saved.stored().fact.id.clone()));
            }
        }
        ids
    };
    let (a, b, c) = tokio::join!(work(one, false), work(other, true), work(one, true));
    let ids: std::collections::BTreeMap<String, String> = a.iter().cloned().collect();
    assert_eq!(ids.len(), 28);
    for (content, id) in b.iter().chain(&c) {
        assert_eq!(ids.get(content), Some(id), "{content}");
    }
    assert_eq!(one.list(&me, None, None, 100).await.unwrap().len(), 28);
    let again = one.save(&holder, &[draft(" fact  3 of\nmany ")], NOW).await.unwrap();
    assert!(
        matches!(&again[0], SaveOutcome::Known(stored) if stored.fact.id == ids["fact 3 of many"]),
        "{again:?}"
    );
    // the same text in another scope is another fact
    let user = me.holder(Scope::User).unwrap();
    assert!(matches!(
        one.save(&user, &[draft("fact 3 of many")], NOW).await.unwrap()[0],
        SaveOutcome::New(_)
    ));
    // twice in one save
    let twice = one.save(&user, &[draft("x y"), draft("x  y")], NOW).await.unwrap();
    assert_eq!(twice[0].stored().fact.id, twice[1].stored().fact.id);
}

pub(crate) async fn two_that_change_one_fact_lose_and_double_nothing(
    one: &dyn MemoryStore,
    other: &dyn MemoryStore,
) {
    let me = reach("", "me", "/p");
    let holder = me.holder(Scope::Project).unwrap();
    let id = save(one, &holder, draft("version 0")).await.fact.id;
    let work = async |store: &dyn MemoryStore, name: &str| {
        for n in 0..10 {
            let change = draft(&format!("version {name}{n}"));
            assert!(matches!(store.update(&me, &id, &change, NOW).await.unwrap(), UpdateOutcome::Changed(_)));
        }
    };
    tokio::join!(work(one, "a"), work(other, "b"));
    let history = one.history(&me, &id).await.unwrap();
    let versions: Vec<i64> = history.iter().map(|stored| stored.fact.version).collect();
    assert_eq!(versions, (1..=21).collect::<Vec<_>>());
    assert_eq!(history.iter().filter(|stored| stored.fact.ended.is_none()).count(), 1);
    assert_eq!(one.list(&me, None, None, 100).await.unwrap().len(), 1);
}

pub(crate) async fn duplicates_are_merged_into_the_older_and_can_be_had_back(
    store: &dyn MemoryStore,
    other: &dyn MemoryStore,
) {
    let me = reach("", "me", "/p");
    let holder = me.holder(Scope::Project).unwrap();
    let older = save(store, &holder, draft("The API server listens on port 8787")).await;
    let newer = save(store, &holder, draft("API server is listening on port 8787.")).await;
    save(store, &me.holder(Scope::Team).unwrap(), draft("API server is listening on port 8787")).await;
    save(store, &holder, draft("API server is listening on port 9090")).await;
    let pairs = other.duplicates(0, 10).await.unwrap();
    assert_eq!(pairs.len(), 1, "{pairs:?}");
    let (left, right) = &pairs[0];
    assert_eq!((&left.fact.id, &right.fact.id), (&older.fact.id, &newer.fact.id));
    let why = because("same");
    let (a, b) = tokio::join!(store.merge(left, right, &why, NOW), other.merge(left, right, &why, NOW));
    assert!(a.unwrap() ^ b.unwrap(), "one of them did it");
    let history = store.history(&me, &newer.fact.id).await.unwrap();
    assert_eq!(history[0].fact.ended.as_ref().unwrap().merged_into, older.fact.id);
    assert!(store.duplicates(0, 10).await.unwrap().is_empty());
    let back = store.restore(&me, &newer.fact.id, &because("they differ"), NOW).await.unwrap();
    assert!(matches!(back, UpdateOutcome::Changed(_)));
    assert!(store.duplicates(0, 10).await.unwrap().is_empty(), "what somebody took apart stays apart");
    // a change to the text of another fact merges the two
    let change = draft("The API server listens on port 8787");
    let UpdateOutcome::Merged(into) = store.update(&me, &newer.fact.id, &change, NOW).await.unwrap() else {
        panic!()
    };
    assert_eq!(into.fact.id, older.fact.id);
}

pub(crate) async fn what_is_purged_is_gone_and_age_takes_only_what_has_ended(
    store: &dyn MemoryStore,
    other: &dyn MemoryStore,
) {
    let (red, blue) = (reach("red", "me", "/p"), reach("blue", "me", "/p"));
    let (of_red, of_blue) = (red.holder(Scope::Project).unwrap(), blue.holder(Scope::Project).unwrap());
    let kept = save(store, &of_red, near("red keeps this", [1.0, 0.0])).await;
    let gone = save(store, &of_red, draft("red forgets this")).await;
    save(store, &of_blue, draft("blue keeps this")).await;
    store.end(&red, &gone.fact.id, Ending::Deleted, &because(""), NOW).await.unwrap();
    assert_eq!(other.purge(&Purge::Before(NOW), false).await.unwrap(), 0);
    assert_eq!(other.purge(&Purge::Before(NOW + 1), true).await.unwrap(), 1);
    assert_eq!(store.history(&red, &gone.fact.id).await.unwrap().len(), 1, "a dry run deletes nothing");
    assert_eq!(other.purge(&Purge::Before(NOW + 1), false).await.unwrap(), 1);
    assert!(store.history(&red, &gone.fact.id).await.unwrap().is_empty());
    assert!(!store.forget(&blue, &kept.fact.id).await.unwrap(), "not within blue's reach");
    assert!(store.forget(&red, &kept.fact.id).await.unwrap());
    assert!(found(store, &red, "this").await.is_empty());
    save(store, &of_red, draft("red again")).await;
    assert_eq!(store.purge(&Purge::Tenant("red".to_owned()), false).await.unwrap(), 1);
    assert_eq!(found(other, &blue, "keeps").await, ["blue keeps this"]);
    assert_eq!(store.purge(&Purge::All, false).await.unwrap(), 1);
    save(store, &of_blue, draft("a new beginning")).await;
    assert_eq!(found(other, &blue, "beginning").await.len(), 1);
}

/// Each store keeps vectors in memory, and another process changes them.
pub(crate) async fn what_is_near_follows_what_others_save_embed_and_forget(
    store: &dyn MemoryStore,
    other: &dyn MemoryStore,
) {
    let (me, you) = (reach("", "me", "/p"), reach("", "me", "/q"));
    let (mine, yours) = (me.holder(Scope::Project).unwrap(), you.holder(Scope::Project).unwrap());
    let near_to = async |who: &FactScope, values: [f32; 2]| {
        let found = store.nearest(who, &vector(values), NOW, 10).await.unwrap();
        found.into_iter().map(|(stored, _)| stored.fact.content).collect::<Vec<_>>()
    };
    assert!(near_to(&me, [1.0, 0.0]).await.is_empty());
    let bare = save(other, &mine, draft("bare")).await;
    let right = save(other, &mine, near("right", [1.0, 0.0])).await;
    save(other, &yours, near("yours", [1.0, 0.0])).await;
    assert_eq!(near_to(&me, [1.0, 0.0]).await, ["right"]);
    save(other, &mine, near("up", [0.0, 1.0])).await;
    save(other, &me.holder(Scope::Team).unwrap(), near("team", [0.8, 0.6])).await;
    assert_eq!(near_to(&me, [1.0, 0.0]).await, ["right", "team", "up"]);
    // a fact in front of those that are known
    other.embed("test", &[(bare.ordinal, vec![0.96, 0.28])]).await.unwrap();
    assert_eq!(near_to(&me, [1.0, 0.0]).await, ["right", "bare", "team", "up"]);
    other.end(&me, &right.fact.id, Ending::Deleted, &because(""), NOW).await.unwrap();
    assert_eq!(near_to(&me, [1.0, 0.0]).await, ["bare", "team", "up"]);
    other.update(&me, &bare.fact.id, &near("bare no more", [0.0, -1.0]), NOW).await.unwrap();
    assert_eq!(near_to(&me, [1.0, 0.0]).await, ["team", "up", "bare no more"]);
    assert_eq!(near_to(&you, [1.0, 0.0]).await, ["yours", "team"]);
    other.purge(&Purge::All, false).await.unwrap();
    assert!(near_to(&me, [1.0, 0.0]).await.is_empty());
    // holders may get the numbers of others that are gone
    save(other, &yours, near("again", [1.0, 0.0])).await;
    assert!(near_to(&me, [1.0, 0.0]).await.is_empty());
    assert_eq!(near_to(&you, [1.0, 0.0]).await, ["again"]);
}

pub(crate) async fn what_has_no_vector_is_embedded_and_facts_of_another_time_are_not_found(
    store: &dyn MemoryStore,
    other: &dyn MemoryStore,
) {
    let me = reach("", "me", "/p");
    let holder = me.holder(Scope::Project).unwrap();
    save(store, &holder, near("with a vector", [1.0, 0.0])).await;
    let bare = save(store, &holder, draft("without a vector")).await;
    let past = Draft { invalid_at: Some(NOW), ..near("until now a vector", [1.0, 0.0]) };
    save(store, &holder, past).await;
    let waiting = other.unembedded("test", 0, 10).await.unwrap();
    assert_eq!(contents(&waiting), ["without a vector"]);
    assert_eq!(other.unembedded("another model", 0, 10).await.unwrap().len(), 3);
    other.embed("test", &[(bare.ordinal, vec![0.0, 1.0])]).await.unwrap();
    assert!(store.unembedded("test", 0, 10).await.unwrap().is_empty());
    let nearest = store.nearest(&me, &vector([0.0, 1.0]), NOW, 10).await.unwrap();
    let order: Vec<&str> = nearest.iter().map(|(stored, _)| stored.fact.content.as_str()).collect();
    assert_eq!(order, ["without a vector", "with a vector"]);
    assert_eq!(found(store, &me, "until").await, Vec::<String>::new());
    let sums = store.sums(&me, Some("test")).await.unwrap();
    assert_eq!((sums.project, sums.unembedded, sums.ended), (3, 0, 0));
    store.check().await.unwrap();
}
