//! What the newest requests and their answers said, where filters send it and this sidecar shows it.
//!
//! In memory alone, and gone with the process: it is in no store, and in no log but the one that `--log-file` asks for. The
//! live learner reads the same, where it is switched on, and keeps the few words that its lessons quote.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headroom_api::pages::{LoggedBlock, RequestMessages};
use headroom_api::v1::LoggedMessages;
use serde_json::Value;

/// Bytes kept; the oldest make room. A thousand requests with what a filter sends of each by default.
const MOST_BYTES: usize = 32 << 20;

/// The messages of the newest requests.
#[derive(Debug)]
pub(crate) struct Messages {
    /// Without it nothing is kept, whatever filters send.
    on: bool,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_request: HashMap<String, LoggedMessages>,
    /// The requests in the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
}

impl Messages {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, kept: Mutex::default() }
    }

    /// Whether they are shown.
    pub(crate) fn on(&self) -> bool {
        self.on
    }

    /// Keeps what a filter sends, in the place of what it sent for the same request before.
    pub(crate) fn keep(&self, logged: Vec<LoggedMessages>) {
        if !self.on {
            return;
        }
        let mut kept = self.kept();
        for logged in logged {
            kept.keep(logged, MOST_BYTES);
        }
    }

    /// What is known of a request's messages.
    pub(crate) fn of(&self, request_id: &str) -> RequestMessages {
        let kept = self.kept();
        let Some(logged) = kept.by_request.get(request_id) else { return RequestMessages::default() };
        // what was cut is not JSON any more, and shown as the text that it is
        let message =
            |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
        RequestMessages {
            request_messages: Some(logged.request_messages.iter().map(message).collect()),
            request_messages_left_out: Some(logged.request_messages_left_out),
            response_content: Some(logged.response_content.clone()),
            response_content_cut: Some(logged.response_content_cut),
            logged_blocks: logged.blocks.iter().map(block).collect(),
        }
    }

    /// Forgets all of them, and says how many they were.
    pub(crate) fn forget(&self) -> usize {
        std::mem::take(&mut *self.kept()).by_request.len()
    }

    /// How many requests they are of.
    pub(crate) fn count(&self) -> usize {
        self.kept().by_request.len()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // whatever a panic left behind is only shown
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, logged: LoggedMessages, most_bytes: usize) {
        self.bytes += size(&logged);
        let id = logged.request_id.clone();
        match self.by_request.insert(id.clone(), logged) {
            Some(earlier) => self.bytes -= size(&earlier),
            None => self.order.push_back(id),
        }
        while self.bytes > most_bytes
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.by_request.remove(&oldest).as_ref().map_or(0, size);
        }
    }
}

fn block(block: &headroom_api::v1::LoggedBlock) -> LoggedBlock {
    LoggedBlock {
        index: block.index,
        before: block.before.clone(),
        before_cut: block.before_cut,
        after: block.after.clone(),
        after_cut: block.after_cut,
    }
}

/// Bytes that one takes, nearly.
fn size(logged: &LoggedMessages) -> usize {
    let messages = logged.request_messages.iter().map(|message| size_of::<String>() + message.len());
    let blocks =
        logged.blocks.iter().map(|block| size_of_val(block) + block.before.len() + block.after.len());
    let texts = messages.chain(blocks);
    size_of::<LoggedMessages>()
        + 2 * logged.request_id.len()
        + logged.response_content.len()
        + texts.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn logged(id: &str, answer: &str) -> LoggedMessages {
        LoggedMessages {
            request_id: id.to_owned(),
            request_messages: vec!["{\"content\":\"wh".to_owned(), "{\"role\":\"user\"}".to_owned()],
            request_messages_left_out: 3,
            response_content: answer.to_owned(),
            response_content_cut: true,
            blocks: vec![headroom_api::v1::LoggedBlock { before: "long".to_owned(), ..Default::default() }],
        }
    }

    #[test]
    fn what_was_cut_is_shown_as_text_beside_what_is_whole() {
        let messages = Messages::new(true);
        messages.keep(vec![logged("hr_1", "early"), logged("hr_1", "late")]);
        let shown = serde_json::to_value(messages.of("hr_1")).unwrap();
        assert_eq!(shown["request_messages"], json!(["{\"content\":\"wh", {"role": "user"}]));
        assert_eq!(shown["request_messages_left_out"], 3);
        assert_eq!(shown["response_content"], "late");
        assert_eq!(shown["response_content_cut"], true);
        assert_eq!(shown["logged_blocks"][0]["before"], "long");
    }

    #[test]
    fn switched_off_nothing_is_kept() {
        let messages = Messages::new(false);
        messages.keep(vec![logged("hr_1", "a")]);
        let shown = serde_json::to_value(messages.of("hr_1")).unwrap();
        assert_eq!(shown, json!({"request_messages": null, "response_content": null}));
        assert!(messages.kept().by_request.is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let mut kept = Kept::default();
        let one = size(&logged("hr_0", ""));
        for number in 0..10 {
            kept.keep(logged(&format!("hr_{number}"), ""), 3 * one);
            assert!(kept.bytes <= 3 * one && kept.order.len() == kept.by_request.len());
        }
        let mut left: Vec<_> = kept.by_request.keys().cloned().collect();
        left.sort();
        assert_eq!(left, ["hr_7", "hr_8", "hr_9"]);
        kept.keep(logged("hr_9", &"x".repeat(4 * one)), 3 * one);
        assert_eq!((kept.bytes, kept.order.len()), (0, 0), "one that is too large alone is not kept");
    }
}
