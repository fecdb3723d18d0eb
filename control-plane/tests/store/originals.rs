//! The guarantees of every store of originals. Each test gets the same new store, opened twice.

use headroomd::clock::{HOUR_MS, UnixMs};
use headroomd::originals::store::{
    Admission, AdmissionOutcome, HOLD_MS, OriginalSums, OriginalsStore, ROW_BYTES, RetentionLimits,
    TextDecision,
};
use headroomd::purge::Scope;
use headroomd::store::SqlOriginals;

const NOW: UnixMs = 1_790_000_000_000;
/// Bytes of each test original's content.
const SIZE: usize = 1_000;

fn keep(originals: i64) -> RetentionLimits {
    RetentionLimits { ttl_ms: 24 * HOUR_MS, max_bytes: originals * (SIZE as i64 + ROW_BYTES) }
}

pub(crate) fn original(tenant: &str, n: usize) -> Admission {
    Admission {
        tenant: tenant.to_owned(),
        hash: format!("{n:024x}"),
        conversation_id: "c".to_owned(),
        tool: "Bash".to_owned(),
        kind: "log".to_owned(),
        form: "log_digest".to_owned(),
        length: 5_000,
        tokens_before: 1_000,
        tokens_after: 100,
        content: vec![u8::try_from(n % 256).unwrap(); SIZE],
    }
}

async fn is_there(store: &SqlOriginals, n: usize, now: UnixMs) -> bool {
    let hash = original("t", n).hash;
    let found = store.get("t", &hash, now).await.unwrap().is_some();
    assert_eq!(store.length("t", &hash, now).await.unwrap(), found.then_some(5_000));
    found
}

fn sums(entries: i64, retrievals: i64) -> OriginalSums {
    OriginalSums {
        entries,
        bytes: entries * (SIZE as i64 + ROW_BYTES),
        tokens_before: entries * 1_000,
        tokens_after: entries * 100,
        retrievals,
    }
}

pub(crate) async fn an_original_is_had_back_by_its_tenant_alone(one: &SqlOriginals, other: &SqlOriginals) {
    let given = original("t", 7);
    let admitted = one.admit(&[given.clone(), original("u", 8)], &keep(9), NOW).await.unwrap();
    assert_eq!(admitted.fates, [AdmissionOutcome::Stored, AdmissionOutcome::Stored]);
    let kept = other.get("t", &given.hash, NOW).await.unwrap().unwrap();
    assert_eq!((&kept.content, kept.length), (&given.content, 5_000));
    assert_eq!((&*kept.tool, &*kept.kind, &*kept.form), ("Bash", "log", "log_digest"));
    for (tenant, hash) in [("u", given.hash.as_str()), ("", &given.hash), ("t", &original("u", 8).hash)] {
        assert_eq!(other.get(tenant, hash, NOW).await.unwrap(), None);
    }
    let again = other.admit(&[given.clone(), original("u", 7)], &keep(9), NOW).await.unwrap();
    assert_eq!(again.fates, [AdmissionOutcome::Refreshed, AdmissionOutcome::Stored]);
    // a filter that does not say by which form it left the text out takes nothing away, and the last one counts
    for (said, form) in [("", "log_digest"), ("dropped", "dropped")] {
        one.admit(&[Admission { form: said.to_owned(), ..given.clone() }], &keep(9), NOW).await.unwrap();
        assert_eq!(other.get("t", &given.hash, NOW).await.unwrap().unwrap().form, form);
    }
    assert_eq!(one.sums().await.unwrap(), sums(3, 0));
}

pub(crate) async fn time_begins_anew_with_each_admission_and_each_reading(
    one: &SqlOriginals,
    other: &SqlOriginals,
) {
    let keep = keep(9);
    let ttl = keep.ttl_ms;
    one.admit(&[original("t", 1), original("t", 2), original("t", 3)], &keep, NOW).await.unwrap();
    let later = NOW + ttl - 1;
    one.admit(&[original("t", 2)], &keep, later).await.unwrap();
    other.touch(&[("t".to_owned(), original("t", 3).hash)], &keep, later).await.unwrap();
    assert!(is_there(one, 1, later).await);
    // it expires at exactly this moment
    assert!(!is_there(one, 1, NOW + ttl).await);
    assert!(is_there(one, 2, later + ttl - 1).await && is_there(one, 3, later + ttl - 1).await);
    assert_eq!(one.sums().await.unwrap(), sums(3, 1));

    assert_eq!(other.sweep(NOW + ttl).await.unwrap(), 1);
    assert_eq!(other.sweep(NOW + ttl).await.unwrap(), 0);
    assert_eq!(one.sums().await.unwrap(), sums(2, 1));
    // setting the clock back does not shorten the time
    one.admit(&[original("t", 2)], &keep, NOW).await.unwrap();
    assert!(is_there(one, 2, later + ttl - 1).await);
    // an expired one that is still there is stored again like any other
    let dead = later + ttl;
    assert!(!is_there(one, 2, dead).await);
    one.admit(&[original("t", 2)], &keep, dead).await.unwrap();
    assert!(is_there(one, 2, dead).await);
}

pub(crate) async fn the_oldest_make_room_and_what_is_in_use_does_not(store: &SqlOriginals, _: &SqlOriginals) {
    let keep = keep(4);
    for n in 0..4 {
        store.admit(&[original("t", n)], &keep, NOW + n as i64).await.unwrap();
    }
    // the first is in use again, so the second and third are the oldest now
    let later = NOW + HOLD_MS + 2;
    store.touch(&[("t".to_owned(), original("t", 0).hash)], &keep, later).await.unwrap();
    let admitted = store.admit(&[original("t", 10), original("t", 11)], &keep, later).await.unwrap();
    assert_eq!(admitted.fates, [AdmissionOutcome::Stored, AdmissionOutcome::Stored]);
    assert_eq!((admitted.evicted, admitted.expired), (2, 0));
    for (n, there) in [(0, true), (1, false), (2, false), (3, true), (10, true), (11, true)] {
        assert_eq!(is_there(store, n, later).await, there, "{n}");
    }
    // the last evictable one becomes old enough in a moment, but not yet
    let full = store.admit(&[original("t", 12), original("t", 3)], &keep, later).await.unwrap();
    assert_eq!(full.fates, [AdmissionOutcome::Refused, AdmissionOutcome::Refreshed]);
    assert!(!is_there(store, 12, later).await && is_there(store, 3, later).await);
    assert_eq!(store.sums().await.unwrap(), sums(4, 1));

    // an expired one makes room and does not count as evicted
    let over = later + keep.ttl_ms;
    let admitted = store.admit(&[original("t", 20)], &keep, over).await.unwrap();
    assert_eq!((admitted.fates.as_slice(), admitted.evicted), (&[AdmissionOutcome::Stored][..], 0));
    assert!(admitted.expired > 0);
}

pub(crate) async fn what_can_never_fit_is_refused_and_nothing_makes_room_for_it(
    store: &SqlOriginals,
    _: &SqlOriginals,
) {
    let keep = keep(2);
    store.admit(&[original("t", 1), original("t", 2)], &keep, NOW).await.unwrap();
    let huge = Admission { content: vec![0; 4 * SIZE], ..original("t", 3) };
    let admitted = store.admit(&[huge], &keep, NOW + 2 * HOLD_MS).await.unwrap();
    assert_eq!((admitted.fates.as_slice(), admitted.evicted), (&[AdmissionOutcome::Refused][..], 0));
    assert_eq!(store.sums().await.unwrap(), sums(2, 0));
}

pub(crate) async fn two_that_share_the_originals_keep_each_once(one: &SqlOriginals, other: &SqlOriginals) {
    let work = async |store: &SqlOriginals| {
        for round in 0..10 {
            let admissions: Vec<_> = (0..8).map(|n| original("t", round * 4 + n)).collect();
            let admitted = store.admit(&admissions, &keep(20), NOW + round as i64).await.unwrap();
            assert_eq!(admitted.epoch, one.epoch().await.unwrap());
        }
    };
    tokio::join!(work(one), work(other), work(one), work(other));
    let sums = one.sums().await.unwrap();
    assert_eq!(sums, self::sums(20, 0), "as many as fit, each counted once");
    let mut there = 0;
    for n in 0..44 {
        there += i64::from(is_there(other, n, NOW).await);
    }
    assert_eq!(there, sums.entries);
}

fn hashes(texts: std::ops::Range<usize>) -> Vec<String> {
    texts.map(|n| format!("{n:024x}")).collect()
}

fn decided(texts: std::ops::Range<usize>, form: &str) -> Vec<TextDecision> {
    let form = Some(form.to_owned()).filter(|form| !form.is_empty());
    hashes(texts).into_iter().map(|hash| TextDecision { hash, form: form.clone() }).collect()
}

pub(crate) async fn the_first_decision_on_a_text_stands_for_both(one: &SqlOriginals, other: &SqlOriginals) {
    let decide = async |store: &SqlOriginals, word: &'static str, back: bool| {
        let mut told = Vec::new();
        for round in 0..10 {
            let mut decisions = decided(round * 5..round * 5 + 10, word);
            if back {
                decisions.reverse();
            }
            let mut stands = store.decide("t", word, &decisions, NOW).await.unwrap();
            stands.sort_unstable();
            assert_eq!(stands.len(), 10);
            told.push(stands);
        }
        told
    };
    let (first, second, third) =
        tokio::join!(decide(one, "short", false), decide(other, "", true), decide(one, "shorter", true));
    assert!(first == second && second == third);
    let stands = other.decisions("t", &hashes(0..55)).await.unwrap();
    assert_eq!(stands.len(), 55);
    assert!(first.iter().flatten().all(|told| stands.contains(told)));
    assert!(other.decisions("u", &hashes(0..55)).await.unwrap().is_empty());
    assert_eq!(one.decisions("t", &hashes(50..60)).await.unwrap().len(), 5);
}

pub(crate) async fn a_request_takes_back_what_it_has_decided_alone(one: &SqlOriginals, other: &SqlOriginals) {
    one.decide("t", "first", &decided(0..2, "short"), NOW).await.unwrap();
    one.decide("t", "second", &decided(2..4, "short"), NOW + 1).await.unwrap();
    one.decide("u", "first", &decided(0..1, "short"), NOW + 2).await.unwrap();
    other.withdraw("t", "first", &hashes(1..6), NOW + 3).await.unwrap();
    // what comes late finds that it was decided
    one.decide("t", "first", &decided(5..6, "late"), NOW + 4).await.unwrap();
    let form = |n: usize| Some("short".to_owned()).filter(|_| matches!(n, 0 | 2 | 3));
    let expected: Vec<_> =
        hashes(0..6).into_iter().enumerate().map(|(n, hash)| TextDecision { hash, form: form(n) }).collect();
    assert_eq!(one.decisions("t", &hashes(0..6)).await.unwrap(), expected);

    let left = async || one.decisions("t", &hashes(0..6)).await.unwrap().len();
    assert_eq!((one.forget_decisions(NOW, 7).await.unwrap(), left().await), (0, 6));
    assert_eq!((one.forget_decisions(NOW + 1, 7).await.unwrap(), left().await), (2, 4));
    assert_eq!((one.forget_decisions(NOW, 3).await.unwrap(), left().await), (2, 2), "the oldest go");
    assert!(one.purge(&Scope::Tenant("t".to_owned()), true).await.is_ok() && left().await == 2);
    other.purge(&Scope::Tenant("t".to_owned()), false).await.unwrap();
    assert_eq!((left().await, one.decisions("u", &hashes(0..1)).await.unwrap().len()), (0, 1));
    other.purge(&Scope::Before(NOW + 2), false).await.unwrap();
    assert_eq!(one.decisions("u", &hashes(0..1)).await.unwrap().len(), 1);
    other.purge(&Scope::All, false).await.unwrap();
    assert!(one.decisions("u", &hashes(0..1)).await.unwrap().is_empty());
}
