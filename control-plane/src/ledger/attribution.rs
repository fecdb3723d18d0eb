//! Whose change it was when a provider did not use reasoning because what stands before it had changed.
//!
//! Each record has digests of what the client sent and of what was forwarded. A request is compared with earlier
//! ones of its conversation: where the client has only added to one of them, and what was forwarded then does not
//! begin what was forwarded now, the change is Headroom's. If the client has extended none of them, it is the client's.
//! If no record shows a change, its cause is not known: the previous turn went another way, or is no longer kept.

use headroom_api::v1::{PrefixChange, PrefixDigests, RequestRecord};

/// Earlier requests of a conversation that are looked at.
pub const LOOKED_AT: usize = 32;

/// What the digests of two requests say of each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Comparison {
    /// One begins the other.
    Extended,
    Changed,
    /// They do not reach back far enough, or are not there.
    Unknown,
}

/// Whose change it was; `earlier` are requests of the same conversation, newest first.
pub fn attribute<'r>(
    record: &RequestRecord,
    earlier: impl IntoIterator<Item = &'r RequestRecord>,
) -> PrefixChange {
    if record.prefix_mismatches == 0 {
        return PrefixChange::Unspecified;
    }
    let mut found = None;
    let of_same = |it: &&RequestRecord| it.key == record.key && it.tenant == record.tenant;
    for before in earlier.into_iter().filter(of_same).take(LOOKED_AT) {
        let forwarded = compared(before.forwarded_prefix.as_ref(), record.forwarded_prefix.as_ref());
        match compared(before.client_prefix.as_ref(), record.client_prefix.as_ref()) {
            Comparison::Extended if forwarded == Comparison::Changed => return PrefixChange::Headroom,
            // What does not fit stays in the history, and is dropped again in every later turn.
            Comparison::Extended if forwarded == Comparison::Extended && before.prefix_mismatches > 0 => {
                found = found.or(Some(before.prefix_change()));
            }
            Comparison::Changed => found = found.or(Some(PrefixChange::Client)),
            Comparison::Extended | Comparison::Unknown => {}
        }
    }
    found.unwrap_or(PrefixChange::Unseen)
}

fn compared(before: Option<&PrefixDigests>, now: Option<&PrefixDigests>) -> Comparison {
    let (Some(before), Some(now)) = (before, now) else { return Comparison::Unknown };
    if (before.system, before.tools) != (now.system, now.tools) {
        return Comparison::Changed;
    }
    let common = before.messages.min(now.messages);
    match (up_to(before, common), up_to(now, common)) {
        (Some(before), Some(now)) if before == now => Comparison::Extended,
        (Some(_), Some(_)) => Comparison::Changed,
        _ => Comparison::Unknown,
    }
}

/// The digest of the first messages, so many of them. `None`: it is not among the newest.
fn up_to(digests: &PrefixDigests, messages: u32) -> Option<u64> {
    if messages == 0 {
        return Some(0);
    }
    let behind = usize::try_from(digests.messages.checked_sub(messages)?).ok()?;
    let at = digests.prefixes.len().checked_sub(behind)?.checked_sub(1)?;
    digests.prefixes.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of a list of messages.
    fn digests(system: u64, messages: &[u64]) -> PrefixDigests {
        let mut chain = 0u64;
        let mut prefixes: Vec<u64> = Vec::new();
        for message in messages {
            chain = chain.wrapping_mul(31).wrapping_add(*message);
            prefixes.push(chain);
        }
        let kept = prefixes.split_off(prefixes.len().saturating_sub(8));
        PrefixDigests { system, tools: 7, messages: messages.len() as u32, prefixes: kept }
    }

    fn request(client: &[u64], forwarded: &[u64]) -> RequestRecord {
        RequestRecord {
            client_prefix: Some(digests(1, client)),
            forwarded_prefix: Some(digests(1, forwarded)),
            ..RequestRecord::default()
        }
    }

    fn mismatched(client: &[u64], forwarded: &[u64]) -> RequestRecord {
        RequestRecord { prefix_mismatches: 2, ..request(client, forwarded) }
    }

    #[test]
    fn what_only_the_forwarded_side_has_changed_is_ours() {
        let before = request(&[1, 2], &[1, 20]);
        assert_eq!(attribute(&mismatched(&[1, 2, 3], &[1, 20, 3]), [&before]), PrefixChange::Unseen);
        assert_eq!(attribute(&mismatched(&[1, 2, 3], &[1, 21, 3]), [&before]), PrefixChange::Headroom);
        // Rounds that were put back make it longer than the client's.
        let restored = mismatched(&[1, 2, 3, 4], &[1, 20, 91, 92, 3, 4]);
        assert_eq!(attribute(&restored, [&before]), PrefixChange::Unseen);
        let lost = mismatched(&[1, 2, 3, 4, 5], &[1, 20, 3, 4, 5]);
        let before = [request(&[1, 2, 3, 4], &[1, 20, 91, 92, 3, 4]), before];
        assert_eq!(attribute(&lost, &before), PrefixChange::Headroom);
        let mut tools = mismatched(&[1, 2, 3], &[1, 20, 3]);
        tools.forwarded_prefix.as_mut().unwrap().tools = 8;
        assert_eq!(attribute(&tools, &before[1..]), PrefixChange::Headroom);
    }

    #[test]
    fn what_the_client_has_changed_is_the_clients() {
        let before = request(&[1, 2, 3], &[1, 20, 3]);
        assert_eq!(attribute(&mismatched(&[1, 9, 3, 4], &[1, 9, 3, 4]), [&before]), PrefixChange::Client);
        let mut system = mismatched(&[1, 2, 3, 4], &[1, 20, 3, 4]);
        system.client_prefix.as_mut().unwrap().system = 2;
        system.forwarded_prefix.as_mut().unwrap().system = 2;
        assert_eq!(attribute(&system, [&before]), PrefixChange::Client);
    }

    #[test]
    fn what_is_dropped_again_in_later_turns_stays_whose_it_was() {
        let mut first = mismatched(&[1, 9, 3], &[1, 9, 3]);
        first.set_prefix_change(PrefixChange::Client);
        let again = mismatched(&[1, 9, 3, 4], &[1, 9, 3, 4]);
        assert_eq!(attribute(&again, [&first]), PrefixChange::Client);
        first.set_prefix_change(PrefixChange::Unseen);
        assert_eq!(attribute(&again, [&first]), PrefixChange::Unseen);
    }

    #[test]
    fn what_no_record_shows_is_unseen() {
        let now = mismatched(&[1, 2, 3], &[1, 2, 3]);
        assert_eq!(attribute(&now, []), PrefixChange::Unseen);
        assert_eq!(attribute(&now, [&RequestRecord::default()]), PrefixChange::Unseen);
        let elsewhere = RequestRecord { key: "other".to_owned(), ..request(&[5], &[6]) };
        assert_eq!(attribute(&now, [&elsewhere]), PrefixChange::Unseen);
        // Further back than the digests reach.
        let long: Vec<u64> = (0..40).collect();
        assert_eq!(attribute(&mismatched(&long, &long), [&request(&[9], &[8])]), PrefixChange::Unseen);
        let nothing = RequestRecord { prefix_mismatches: 0, ..now };
        assert_eq!(attribute(&nothing, [&request(&[1], &[2])]), PrefixChange::Unspecified);
    }
}
