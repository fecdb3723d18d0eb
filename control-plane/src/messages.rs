//! The texts of the newest requests and answers, if filters send them and this sidecar shows them.
//!
//! They are only in memory and gone with the process: not in any store, and not in any log except that of `--log-file`.
//! The live learner reads the same texts, if it is switched on, and stores the few words that its lessons quote.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headroom_api::pages::{LoggedBlock, RequestMessages};
use headroom_api::v1::LoggedMessages;
use serde_json::Value;

/// Bytes kept; the oldest make room. Enough for a thousand requests with a filter's default settings.
const MOST_BYTES: usize = 32 << 20;

/// The messages of the newest requests.
#[derive(Debug)]
pub(crate) struct Messages {
    /// If false, nothing is kept, even if filters send texts.
    on: bool,
    kept: Mutex<KeptMessages>,
}

#[derive(Debug, Default)]
struct KeptMessages {
    by_request: HashMap<String, LoggedMessages>,
    /// The requests in order of arrival.
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

    /// Keeps a filter's messages. They replace earlier ones for the same request.
    pub(crate) fn keep(&self, logged: Vec<LoggedMessages>) {
        if !self.on {
            return;
        }
        let mut kept = self.kept();
        for logged in logged {
            kept.keep(logged, MOST_BYTES);
        }
    }

    /// The known messages of a request.
    pub(crate) fn of(&self, request_id: &str) -> RequestMessages {
        let kept = self.kept();
        let Some(logged) = kept.by_request.get(request_id) else { return RequestMessages::default() };
        // a cut message is not JSON any more, so it is shown as text
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

    /// Forgets all of them, and returns their number.
    pub(crate) fn forget(&self) -> usize {
        std::mem::take(&mut *self.kept()).by_request.len()
    }

    /// The number of requests with messages.
    pub(crate) fn count(&self) -> usize {
        self.kept().by_request.len()
    }

    fn kept(&self) -> MutexGuard<'_, KeptMessages> {
        // data that a panic left behind is only shown
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptMessages {
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

/// The approximate bytes of one.
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
        let mut kept = KeptMessages::default();
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
