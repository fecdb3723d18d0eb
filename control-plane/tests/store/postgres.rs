//! The suite on a real PostgreSQL.

use headroomd::clock::now_ms;
use headroomd::store::Database;
use headroomd::store::SqlLedger;
use headroomd::store::SqlOriginals;

use crate::server::Postgres;
use crate::{memory, memory_isolation, originals, suite};

macro_rules! on_postgres {
    ($postgres:ident: $($test:ident),* $(,)?) => {
        $(
            // names of databases are cut at 63 characters
            let url = $postgres.database(&stringify!($test)[..30]);
            let database = Database::Postgres(url);
            // at the same time, as replicas start
            let (one, other) = tokio::join!(SqlLedger::open(&database, now_ms()), SqlLedger::open(&database, now_ms()));
            suite::$test(&one.unwrap(), &other.unwrap()).await;
        )*
    };
}

#[tokio::test]
async fn postgresql_keeps_what_sqlite_keeps() {
    let Some(postgres) = Postgres::start().await else { return };
    on_postgres!(
        postgres:
        records_are_counted_once_in_whatever_order_they_come,
        what_a_silent_vm_has_announced_and_not_handed_over_is_lost,
        two_that_share_a_store_lose_and_double_nothing,
        every_breakdown_adds_up_to_the_whole,
        what_was_imported_is_replaced_and_never_added,
        what_is_too_old_or_too_much_is_dropped,
        an_hour_without_a_report_ends_the_session,
    a_mismatch_is_traced_through_earlier_requests,
        what_is_purged_is_gone_and_nothing_is_counted_twice,
        what_was_lost_is_counted_once_whoever_hears_of_it,
    );
}

macro_rules! originals_on_postgres {
    ($postgres:ident: $($test:ident),* $(,)?) => {
        $(
            // names of databases are cut at 63 characters
            let url = $postgres.database(&stringify!($test)[..30]);
            let database = Database::Postgres(url);
            // in the ledger's database, and at the same time, as replicas start
            let (ledger, one, other) = tokio::join!(
                SqlLedger::open(&database, now_ms()),
                SqlOriginals::open(&database, now_ms()),
                SqlOriginals::open(&database, now_ms()),
            );
            ledger.unwrap();
            originals::$test(&one.unwrap(), &other.unwrap()).await;
        )*
    };
}

#[tokio::test]
async fn postgresql_keeps_originals_as_sqlite_does() {
    let Some(postgres) = Postgres::start().await else { return };
    originals_on_postgres!(
        postgres:
        the_first_decision_on_a_text_stands_for_both,
        a_request_takes_back_what_it_has_decided_alone,
        an_original_is_had_back_by_its_tenant_alone,
        time_begins_anew_with_each_admission_and_each_reading,
        the_oldest_make_room_and_what_is_in_use_does_not,
        what_can_never_fit_is_refused_and_nothing_makes_room_for_it,
        two_that_share_the_originals_keep_each_once,
    );
}

macro_rules! memory_on_postgres {
    ($postgres:ident, $extension:ident: $($test:ident),* $(,)?) => {
        $(
            // names of databases are cut at 63 characters
            let name = format!("{}_{}", &stringify!($test)[..30], $extension);
            let database = Database::Postgres($postgres.database(&name));
            if $extension && !$postgres.extend(&name, "vector") {
                eprintln!("SKIPPED: this PostgreSQL has no pgvector");
                return;
            }
            // in the ledger's database, and at the same time, as replicas start
            let (ledger, one, other) = tokio::join!(
                SqlLedger::open(&database, now_ms()),
                headroomd::store::memory::open(&database),
                headroomd::store::memory::open(&database),
            );
            ledger.unwrap();
            memory::$test(&*one.unwrap(), &*other.unwrap()).await;
        )*
    };
}

#[tokio::test]
async fn postgresql_keeps_memory_as_sqlite_does() {
    let Some(postgres) = Postgres::start().await else { return };
    for (n, steps) in memory_isolation::some_steps().iter().enumerate() {
        let database = Database::Postgres(postgres.database(&format!("isolation{n}")));
        let store = headroomd::store::memory::open(&database).await.unwrap();
        memory_isolation::nobody_finds_what_is_not_theirs(&*store, steps).await;
    }
    for pgvector in [false, true] {
        memory_on_postgres!(
            postgres, pgvector:
            a_fact_is_found_changed_and_forgotten_and_its_history_stays,
            a_text_is_kept_once_by_whoever_saves_it,
            two_that_change_one_fact_lose_and_double_nothing,
            duplicates_are_merged_into_the_older_and_can_be_had_back,
            what_is_purged_is_gone_and_age_takes_only_what_has_ended,
            what_is_near_follows_what_others_save_embed_and_forget,
            what_has_no_vector_is_embedded_and_facts_of_another_time_are_not_found,
        );
    }
}
