//! Sightings in both databases: each counts once, even if two stores record it.

use headroom_learn::lesson::Kind;
use headroom_learn::sighting::Sighting;
use headroomd::clock::now_ms;
use headroomd::learn::LearnStore;
use headroomd::purge::Scope;
use headroomd::store::{Database, SqlLearn};

use crate::server::Postgres;

fn sighting(conversation: &str, call: &str, subject: &str, right: Option<&str>) -> Sighting {
    Sighting {
        agent: "claude".to_owned(),
        conversation: conversation.to_owned(),
        call: call.to_owned(),
        kind: Kind::MissingProgram,
        subject: subject.to_owned(),
        wrong: subject.to_owned(),
        right: right.map(str::to_owned),
        said: None,
        seen_ms: 1_000,
    }
}

/// Two stores that share a database.
async fn a_call_counts_once_and_what_worked_may_become_known_later(one: &SqlLearn, other: &SqlLearn) {
    let first = sighting("a", "1", "python", None);
    assert_eq!(one.record("/p", std::slice::from_ref(&first)).await.unwrap(), 1);
    assert_eq!(other.record("/p", std::slice::from_ref(&first)).await.unwrap(), 0);
    let both = [sighting("b", "1", "python", None), sighting("a", "1", "python", Some("python3 x"))];
    let (left, right) = tokio::join!(one.record("/p", &both), other.record("/p", &both));
    assert_eq!(left.unwrap() + right.unwrap(), 2);
    assert_eq!(other.record("/p", std::slice::from_ref(&first)).await.unwrap(), 0);
    let found = one.sightings("/p").await.unwrap();
    assert_eq!(found, [both[1].clone(), both[0].clone()], "and what worked stays known");
    assert!(other.sightings("/other").await.unwrap().is_empty());

    // a pattern has a maximum, and a pattern that is too long for an index also works
    let long = "x".repeat(9_000);
    let many: Vec<Sighting> = (0..60).map(|n| sighting("c", &n.to_string(), &long, None)).collect();
    assert_eq!(one.record("/p", &many).await.unwrap(), 50);
    assert_eq!(other.patterns("/p").await.unwrap().len(), 2);

    one.refute("/p", &[(Kind::MissingProgram, "python".to_owned())], 2_000).await.unwrap();
    assert_eq!(other.patterns("/p").await.unwrap(), [(Kind::MissingProgram, long)]);
    let again = Sighting { seen_ms: 3_000, ..sighting("d", "1", "python", None) };
    assert_eq!(other.record("/p", &[first, again.clone()]).await.unwrap(), 1);
    let left: Vec<Sighting> =
        one.sightings("/p").await.unwrap().into_iter().filter(|it| it.subject == "python").collect();
    assert_eq!(left, [again], "what was refuted does not come back with a call of before");

    assert_eq!(one.purge(&Scope::Tenant("t".to_owned()), false).await.unwrap(), 0);
    assert_eq!(one.purge(&Scope::All, true).await.unwrap(), 53);
    assert_eq!(one.purge(&Scope::Before(2_000), false).await.unwrap(), 52);
    assert_eq!(one.purge(&Scope::All, false).await.unwrap(), 1);
    assert!(other.sightings("/p").await.unwrap().is_empty());
}

#[tokio::test]
async fn sqlite_counts_sightings() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::File(dir.path().join("learn.db"));
    let (one, other) = tokio::join!(SqlLearn::open(&database, now_ms()), SqlLearn::open(&database, now_ms()));
    a_call_counts_once_and_what_worked_may_become_known_later(&one.unwrap(), &other.unwrap()).await;
}

#[tokio::test]
async fn postgresql_counts_sightings() {
    let Some(postgres) = Postgres::start().await else { return };
    let database = Database::Postgres(postgres.database("sightings"));
    let (one, other) = tokio::join!(SqlLearn::open(&database, now_ms()), SqlLearn::open(&database, now_ms()));
    a_call_counts_once_and_what_worked_may_become_known_later(&one.unwrap(), &other.unwrap()).await;
}
