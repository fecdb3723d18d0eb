//! What conversations begin with: decided once for each. Compiled once for each database, as `facts.rs` is.

use sqlx::{Pool, Transaction};

use super::{Db, STANDS};
use crate::clock::UnixMs;
use crate::memory::ConversationContext;
use crate::purge::Scope as Purge;
use crate::trouble::StoreError;

/// What is recorded of a conversation.
const CONTEXT: &str = "SELECT text FROM memory_context WHERE tenant = $1 AND conversation = $2";

/// Ids as one text that each can be found in.
fn id_list(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!(" {} ", ids.join(" ")) }
}

pub(super) async fn find(
    pool: &Pool<Db>,
    tenant: &str,
    conversation: &str,
) -> Result<Option<String>, StoreError> {
    let text = sqlx::query_scalar(CONTEXT).bind(tenant.to_owned()).bind(conversation.to_owned());
    Ok(text.fetch_optional(pool).await?)
}

/// The text that is decided on: this one, if none was before.
pub(super) async fn decide(
    tx: &mut Transaction<'_, Db>,
    context: &ConversationContext,
    now: UnixMs,
) -> Result<String, StoreError> {
    let (mut text, mut facts) = (context.text.as_str(), id_list(&context.facts));
    for id in &context.facts {
        // One that was deleted since it was found would stay in the record.
        let stands = sqlx::query_scalar::<Db, i64>(STANDS).bind(id).fetch_optional(&mut **tx).await?;
        if stands.is_none() {
            (text, facts) = ("", String::new());
            break;
        }
    }
    let decide = sqlx::query(
        "INSERT INTO memory_context (tenant, conversation, text, facts, decided_by, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, conversation) DO NOTHING",
    );
    let decide = decide.bind(&context.tenant).bind(&context.conversation).bind(text);
    let decide = decide.bind(facts).bind(&context.decided_by).bind(now);
    decide.execute(&mut **tx).await?;
    let decided = sqlx::query_scalar(CONTEXT).bind(&context.tenant).bind(&context.conversation);
    Ok(decided.fetch_one(&mut **tx).await?)
}

/// Records that the conversation begins with nothing, if this request has decided or nothing is decided yet.
pub(super) async fn withdraw(
    pool: &Pool<Db>,
    tenant: &str,
    conversation: &str,
    request: &str,
    now: UnixMs,
) -> Result<(), StoreError> {
    let withdraw = sqlx::query(
        "INSERT INTO memory_context (tenant, conversation, text, facts, decided_by, created_ms)
             VALUES ($1, $2, '', '', $3, $4) ON CONFLICT (tenant, conversation) DO UPDATE SET text = '', facts = ''
             WHERE memory_context.decided_by = excluded.decided_by",
    );
    let withdraw = withdraw.bind(tenant.to_owned()).bind(conversation.to_owned());
    withdraw.bind(request.to_owned()).bind(now).execute(pool).await?;
    Ok(())
}

/// Forgets those that began before a time. How many they were.
pub(super) async fn forget(pool: &Pool<Db>, before: UnixMs) -> Result<u64, StoreError> {
    let forget = sqlx::query("DELETE FROM memory_context WHERE created_ms < $1").bind(before);
    Ok(forget.execute(pool).await?.rows_affected())
}

/// Empties those in which a fact stands.
pub(super) async fn empty_with(
    tx: &mut Transaction<'_, Db>,
    tenant: &str,
    fact: &str,
) -> Result<(), StoreError> {
    let contexts = sqlx::query(
        "UPDATE memory_context SET text = '', facts = ''
                 WHERE tenant = $1 AND facts LIKE '% ' || $2 || ' %'",
    );
    contexts.bind(tenant.to_owned()).bind(fact.to_owned()).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes those of a scope.
pub(super) async fn purge(tx: &mut Transaction<'_, Db>, scope: &Purge) -> Result<(), StoreError> {
    let contexts = match scope {
        Purge::All => sqlx::query("DELETE FROM memory_context"),
        Purge::Tenant(tenant) => sqlx::query("DELETE FROM memory_context WHERE tenant = $1").bind(tenant),
        // what ended before then is in none that began later
        Purge::Before(time) => sqlx::query("DELETE FROM memory_context WHERE created_ms < $1").bind(*time),
    };
    contexts.execute(&mut **tx).await?;
    Ok(())
}
